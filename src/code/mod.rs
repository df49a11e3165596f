/*!
Binary codes: the output of a model for an image, and the input of ranking.

[`Code`] is one code, [`BinaryCodes`] many of one length. This module only handles bits and
words. It does not depend on hashing, ranking or storage.

```
use barbule::code::{BinaryCodes, Code};

let code = Code::from_hex(12, "0f08")?;
assert_eq!(code.bit_string(), "111100000001");
assert_eq!(code.distance(&Code::from_hex(12, "0e00")?)?, 2);

let mut codes = BinaryCodes::from(&code);
codes.push(&Code::from_signs(&[1.0; 12])?)?;
assert_eq!((codes.len(), codes.get(0)), (2, Some(code)));
# Ok::<(), barbule::code::CodeError>(())
```
*/

mod error;
mod packing;
mod set;
mod single;

pub use error::CodeError;
pub use set::BinaryCodes;
pub use single::Code;

/// Maximum code length in bits.
pub const MAX_BITS: usize = 1024;
