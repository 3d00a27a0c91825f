//! The `runr` executable: see the library.

fn main() {}
