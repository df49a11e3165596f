/*!
Codes in the formats of other programs.
*/

pub mod numpy;
