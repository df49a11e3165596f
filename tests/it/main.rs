/*!
The tests of the whole: the program as it is run in a terminal, and the library as an app sees it.
*/

mod aviary;
mod cli;
mod collection;
mod common;
mod compare;
mod damage;
mod data;
#[cfg(target_os = "linux")]
mod desktop;
mod duplicates;
mod edit;
mod engine;
mod folders;
mod images;
mod index;
mod learn;
mod methods;
#[cfg(unix)]
mod postgres;
mod rank;
mod refit;
mod regions;
mod resnet;
mod serve;
mod shaders;
mod sources;
mod trunk;
mod trunks;
mod word_index;
mod words;
