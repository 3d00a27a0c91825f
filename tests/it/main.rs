//! The integration tests: they drive the built `runr` as a user would.

fn main() {}
