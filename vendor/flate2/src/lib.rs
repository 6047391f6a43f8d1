//! Nothing is unpacked: a frame of ID3v2 of six megabytes becomes a gigabyte in memory, no
//! setting of lofty bounds that, and its feature without this does not build (0.25.5). No
//! tagger of our time compresses frames; a cover that is compressed is skipped before.

pub mod read {
    use std::io::{Error, Read, Result};

    /// Has nothing of what it is given.
    pub struct ZlibDecoder<R>(R);

    impl<R: Read> ZlibDecoder<R> {
        pub fn new(packed: R) -> Self {
            Self(packed)
        }
    }

    impl<R: Read> Read for ZlibDecoder<R> {
        fn read(&mut self, _: &mut [u8]) -> Result<usize> {
            Err(Error::other("compressed frames are not unpacked"))
        }
    }
}
