/*!
Tests of the TIFF reader, on files that are written here.
*/

mod colours;
mod damage;
mod depths;
mod draft;
mod storage;
