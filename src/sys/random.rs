//! Randomness by getrandom(2): works in a chroot without /dev/urandom.

use crate::base::{Doing, Result};
use nix::errno::Errno;

/// Fills `buffer` with bytes that nobody can guess.
pub fn fill(buffer: &mut [u8]) -> Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        let rest = &mut buffer[done..];
        // SAFETY: `rest` is a live, writable slice of the length passed; the kernel writes at most that many bytes.
        let ret = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match Errno::result(ret) {
            Ok(n) => done += n as usize,
            // A signal came before the pool was ready.
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e).doing(|| "get random bytes"),
        }
    }
    Ok(())
}

/// A random number of any size up to 64 bits.
pub fn number() -> Result<u64> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_draws_differ() {
        assert_ne!(super::number().unwrap(), super::number().unwrap());
    }
}
