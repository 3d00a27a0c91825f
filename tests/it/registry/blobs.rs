//! Blobs over connections that break, and from servers that lie.

use super::*;

const SIZE: usize = 1_000_000;

/// A registry with one blob.
fn with_blob() -> (Registry, Vec<u8>, Descriptor, RegistrySource) {
    let registry = Registry::start();
    let bytes = noise(SIZE);
    registry.add_blob(&bytes);
    let (descriptor, source) = (descriptor(&bytes), source(&registry.name("app:1")));
    (registry, bytes, descriptor, source)
}

#[test]
fn a_broken_transfer_goes_on_where_it_stopped() {
    let (registry, bytes, descriptor, source) = with_blob();
    registry.fail(&descriptor.digest, 1, Faulty::CutAfter(300_000));
    registry.fail(&descriptor.digest, 1, Faulty::StallAfter(200_000));
    registry.fail(&descriptor.digest, 1, Faulty::Status(500, None));
    assert_eq!(read(&source, &descriptor, 0).unwrap(), bytes);
    let ranges: Vec<_> =
        registry.requests().iter().map(|request| request.header("range").unwrap_or("").to_owned()).collect();
    assert_eq!(ranges, ["", "bytes=300000-", "bytes=500000-", "bytes=500000-"]);
}

#[test]
fn a_transfer_begins_where_the_caller_says() {
    let (registry, bytes, descriptor, source) = with_blob();
    for offset in [1, 500_000, SIZE - 1, SIZE] {
        assert_eq!(read(&source, &descriptor, offset as u64).unwrap(), bytes[offset..], "{offset}");
    }
    assert_eq!(registry.requests().len(), 3, "nothing is asked for when nothing is missing");
    assert_eq!(read(&source, &descriptor, SIZE as u64 + 1).unwrap_err().kind(), Kind::Bug);
    // A server that knows no ranges.
    registry.fail(&descriptor.digest, usize::MAX, Faulty::IgnoreRange);
    assert_eq!(read(&source, &descriptor, 123_456).unwrap(), bytes[123_456..]);
}

#[test]
fn a_line_that_breaks_all_the_time_still_gets_there() {
    let (registry, bytes, descriptor, source) = with_blob();
    // More cuts than retries, but each brings something.
    registry.fail(&descriptor.digest, usize::MAX, Faulty::CutAfter(270_000));
    assert_eq!(read(&source, &descriptor, 0).unwrap(), bytes);
    // One that brings next to nothing is given up.
    let (registry, _, descriptor, source) = with_blob();
    registry.fail(&descriptor.digest, usize::MAX, Faulty::CutAfter(1000));
    let e = read(&source, &descriptor, 0).unwrap_err();
    assert_eq!(e.kind(), Kind::Remote);
    assert_eq!(registry.requests().len(), 4);
    assert!(e.to_string().starts_with("after 4000 of 1000000 bytes: talk to `127.0.0.1:"), "{e}");
}

#[test]
fn a_body_without_length_is_held_to_the_descriptors_size() {
    let (registry, bytes, descriptor, source) = with_blob();
    registry.fail(&descriptor.digest, 1, Faulty::Chunked { less: 0, more: 0 });
    assert_eq!(read(&source, &descriptor, 0).unwrap(), bytes);
    registry.fail(&descriptor.digest, 1, Faulty::Chunked { less: 10, more: 0 });
    assert_eq!(read(&source, &descriptor, 0).unwrap(), bytes, "the missing end is asked for");
    registry.fail(&descriptor.digest, 1, Faulty::Chunked { less: 0, more: 1 });
    let mut reader = source.blob(&descriptor, 0).unwrap();
    let mut got = Vec::new();
    let e = Error::from(reader.read_to_end(&mut got).unwrap_err());
    assert_eq!((e.kind(), got.len()), (Kind::Corrupt, SIZE));
    assert!(e.to_string().contains("sends more than the 1000000 bytes"), "{e}");
}

#[test]
fn lies_about_length_and_range_are_told_at_once() {
    let (registry, _, descriptor, source) = with_blob();
    for (by, size) in [(-1, "999999"), (5, "1000005")] {
        registry.fail(&descriptor.digest, 1, Faulty::Length(by));
        let e = read(&source, &descriptor, 0).unwrap_err();
        assert_eq!(e.kind(), Kind::Corrupt);
        assert!(e.to_string().contains(&format!("has {size} bytes of it; the manifest says 1000000")), "{e}");
    }
    for range in ["bytes 0-999999/1000000", "bytes 5-999999/1000001", "nonsense"] {
        registry.fail(&descriptor.digest, 1, Faulty::ContentRange(range));
        let e = read(&source, &descriptor, 5).unwrap_err();
        assert_eq!(e.kind(), Kind::Corrupt);
        assert!(e.to_string().contains(&format!("sends the range `{range}`")), "{e}");
    }
}

#[test]
fn wrong_bytes_are_passed_on_for_the_caller_to_find() {
    let (registry, bytes, descriptor, source) = with_blob();
    registry.fail(&descriptor.digest, 1, Faulty::WrongBytes);
    let got = read(&source, &descriptor, 0).unwrap();
    assert_eq!(got.len(), bytes.len());
    assert_ne!(Digest::of(&got), descriptor.digest);
}

#[test]
fn a_missing_blob_is_named() {
    let (registry, _, _, source) = with_blob();
    let missing = super::descriptor(b"missing");
    let e = read(&source, &missing, 0).unwrap_err();
    assert_eq!(e.kind(), Kind::NotFound);
    assert!(e.to_string().ends_with("says 404, `BLOB_UNKNOWN: unknown`"), "{e}");
    assert_eq!(registry.requests().len(), 1);
}

#[test]
fn a_foreign_layer_comes_from_its_urls_without_credentials() {
    let registry = Registry::with(Options { auth: Auth::Basic("ana", "pw"), ..Options::default() });
    let bytes = noise(1000);
    registry.add_blob(&bytes);
    let mut foreign = descriptor(&bytes);
    foreign.media_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into();
    let elsewhere = format!("{}/{}", registry.storage_url(), foreign.digest);
    let credentials = Some(Credentials::from_option("ana:pw").unwrap());
    let source = source_with(Config { credentials, ..config() }, &registry.name("app:1"));
    foreign.urls = vec!["ftp://x/y".into(), "file:///etc/passwd".into(), elsewhere.clone()];
    assert_eq!(read(&source, &foreign, 0).unwrap(), bytes);
    assert!(registry.requests().iter().all(|request| !request.path.starts_with("/v2/")));
    // No URL works: the registry may have it all the same.
    foreign.urls = vec!["ftp://x/y".into()];
    assert_eq!(read(&source, &foreign, 400).unwrap(), bytes[400..]);
    // The registry does not have an ordinary layer, its URL does.
    let mut ordinary = descriptor(&bytes);
    ordinary.urls = vec![elsewhere];
    registry.answer(&format!("/v2/app/blobs/{}", ordinary.digest), Answer::new(404, ""));
    assert_eq!(read(&source, &ordinary, 0).unwrap(), bytes);
}

/// Not a test of behaviour: prints how fast blobs come over loopback, one and six at a time. Run it in a release build.
#[test]
#[ignore = "measures"]
fn speed_over_loopback() {
    let bytes = noise(256 << 20);
    let descriptor = descriptor(&bytes);
    for tls in [false, true] {
        let certificates = tls.then(|| Certificates::new(&["127.0.0.1"]));
        let registry = Registry::with(Options { tls: certificates, ..Options::default() });
        registry.add_blob(&bytes);
        let source = source(&registry.name("app:1"));
        for threads in [1, 1, 6] {
            let started = std::time::Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| assert_eq!(drain(&mut source.blob(&descriptor, 0).unwrap()), bytes.len()));
                }
            });
            let rate = (bytes.len() * threads) as f64 / started.elapsed().as_secs_f64() / 1e9;
            println!("tls {tls}, {threads} at a time: {rate:.2} GB/s");
        }
    }
}

/// Reads all of it into one small buffer.
fn drain(reader: &mut dyn Read) -> usize {
    let mut buffer = vec![0; 128 << 10];
    let mut total = 0;
    loop {
        match reader.read(&mut buffer).unwrap() {
            0 => return total,
            n => total += n,
        }
    }
}
