//! Flags of the commands about images.

use clap::Args;

/// Which platform's image, and how to talk to its registry.
#[derive(Debug, Default, Args)]
pub(crate) struct SourceArgs {
    /// Platform of the image, such as linux/arm64
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    /// CPU architecture of the image
    #[arg(long, value_name = "ARCH")]
    pub(crate) arch: Option<String>,
    /// Operating system of the image
    #[arg(long, value_name = "OS")]
    pub(crate) os: Option<String>,
    /// File with registry credentials
    #[arg(long, value_name = "FILE")]
    pub(crate) authfile: Option<String>,
    /// Credentials for the registry
    #[arg(long, value_name = "USER[:PASSWORD]")]
    pub(crate) creds: Option<String>,
    /// Folder with certificates for the registry (ca.crt, client.cert, client.key)
    #[arg(long, value_name = "DIR")]
    pub(crate) cert_dir: Option<String>,
    /// Insist on https and a valid certificate
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = super::parse::go_bool)]
    pub(crate) tls_verify: Option<bool>,
}
