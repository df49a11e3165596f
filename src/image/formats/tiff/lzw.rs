/*!
The LZW compression of TIFF, and that of files from before TIFF 6.0.
*/

use std::io::{self, ErrorKind, Read};

use weezl::decode::{Configuration, Decoder};
use weezl::{BitOrder, LzwStatus};

/// Expands LZW while it is read.
pub struct Lzw<'a> {
    data: &'a [u8],
    decoder: Decoder,
}

impl<'a> Lzw<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        // Before TIFF 6.0 the bits were in the other order and the codes grew one later, as in
        // GIF. The first code, 256 in nine bits, tells the two apart, as in libtiff.
        let old = matches!(data, [0, second, ..] if second & 1 == 1);
        let configuration = if old {
            Configuration::new(BitOrder::Lsb, 8)
        } else {
            Configuration::with_tiff_size_switch(BitOrder::Msb, 8)
        };
        Self { data, decoder: configuration.with_yield_on_full_buffer(true).build() }
    }
}

impl Read for Lzw<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            let result = self.decoder.decode_bytes(self.data, into);
            self.data = self.data.get(result.consumed_in..).unwrap_or_default();
            match result.status {
                Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
                // The decoder may hold bits of what it took. It says when it gets no further.
                Ok(LzwStatus::Ok) if result.consumed_out == 0 => {}
                Ok(_) => return Ok(result.consumed_out),
            }
        }
    }
}
