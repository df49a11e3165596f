/*!
A trained model: one file with a trunk, a hash and a card that says what they are.

The file is a `.safetensors` file: the trunk's weights (convolutions in half
precision), the hash in single precision, and the card as JSON in the metadata
under the key `barbule`. Most hashes are linear; where a kernel comes first the card says
how many anchors it has, and the file is of format 2. So is that of a network with saliency,
or with the pretrained layers beside the trained ones. One whose codes are words of codebooks
is of format 3, or 4 where these are not one for every 4 bits of a linear hash.

A file may leave the trunk out and name the shipped one by its hash: so does the general
model, which ships inside the program.
*/

mod card;
mod error;
mod format;
mod layers;
mod opened;
mod write;

pub use card::{Card, DataCard};
pub use error::ModelError;
pub use format::{FORMAT, format_of};
pub use opened::Model;
pub use write::{bytes_sharing_trunk, check_writable, write, write_sharing_trunk};
