//! What the tests share.
//!
//! - [`Sandbox`]: a home of its own for one test; [`Sandbox::runr`] runs the built binary in it with a cleared environment. When
//!   it is dropped it checks that no process, no file in `tmp/` and no mount is left.
//! - [`need!`]: what a test needs from the machine; it skips visibly when that is missing.
//! - [`ImageBuilder`] and [`Layer`]: images from literals, as an OCI layout, an archive, or pushed to a registry.
//! - [`base_image`]: a small image with a shell, made of what the machine has.
//! - [`DockerRegistry`]: the real `docker-registry` on loopback.
//!
//! No test forks the test process: namespaces are exercised through the built binary, so tests run in parallel.

#![allow(dead_code, reason = "a library for the tests: not each of them is there from the start")]

#[macro_use]
pub mod need;
pub mod base;
pub mod command;
pub mod docker_registry;
pub mod http;
pub mod image;
pub mod inside;
pub mod layer;
pub mod leaks;
pub mod podman;
pub mod probe;
pub mod pty;
pub mod registry;
pub mod sandbox;
pub mod wait;

#[allow(unused_imports, reason = "see above")]
pub use {
    base::{base_image, base_layer},
    command::{Output, Run, Running},
    docker_registry::DockerRegistry,
    image::{Compression, Image, ImageBuilder},
    layer::{Entry, Layer},
    podman::Podman,
    sandbox::Sandbox,
    wait::until,
};
