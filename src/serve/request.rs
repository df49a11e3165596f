/*!
The checked query parameters of a request.
*/

use std::borrow::Cow;

use super::problem::Problem;
use crate::image::{Area, AreaError};

/// Maximum number of hits or images in one answer.
pub const MAX_K: usize = 1000;
/// Upper bound of ids in a query.
const MAX_ID: usize = u32::MAX as usize;
/// Default number of hits or images.
const K: usize = 24;

/// The parameters of all routes; each route accepts some of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Number of hits or images.
    pub k: usize,
    /// Only images in this folder or below.
    pub under: Option<String>,
    /// Only images with this label.
    pub label: Option<String>,
    /// Only hits up to this distance, in bits.
    pub radius: Option<u32>,
    /// The name of an order.
    pub order: Option<String>,
    /// The part whose attention is drawn, from 1; all if `None`.
    pub part: Option<usize>,
    /// The id of the image to compare with.
    pub with: Option<i64>,
    /// The folder to list.
    pub path: Option<String>,
    /// The part of the image to search for.
    pub crop: Option<Area>,
}

impl Ask {
    /// Parses a query; parameters that are not in `known` are an error.
    pub fn read(query: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let mut ask = Self {
            k: K,
            under: None,
            label: None,
            radius: None,
            order: None,
            part: None,
            with: None,
            path: None,
            crop: None,
        };
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.contains(&&*name) {
                let known = match known {
                    [] => "none".to_owned(),
                    known => known.join(", "),
                };
                let sentence = format!("there is no parameter '{name}' here; known: {known}");
                return Err(Problem::new(400, sentence));
            }
            let text = |value: Cow<'_, str>| Some(value.into_owned()).filter(|v| !v.is_empty());
            match &*name {
                "k" => ask.k = number(&name, &value, 1, MAX_K)?,
                "under" => ask.under = text(value),
                "label" => ask.label = text(value),
                "path" => ask.path = text(value),
                "radius" => ask.radius = Some(number(&name, &value, 0, 1_000_000)? as u32),
                "with" => ask.with = i64::try_from(number(&name, &value, 0, MAX_ID)?).ok(),
                "crop" => {
                    let area = value
                        .parse()
                        .map_err(|error: AreaError| Problem::new(400, error.to_string()));
                    ask.crop = Some(area?);
                }
                "part" => ask.part = Some(number(&name, &value, 1, 64)?),
                _ => ask.order = Some(value.into_owned()),
            }
        }
        Ok(ask)
    }

    /// Returns whether the newest images are wanted instead of a random choice.
    pub fn is_recent(&self) -> Result<bool, Problem> {
        self.is_in_order("recent", "mixed")
    }

    /// Returns whether hits are wanted in the order of their distances instead of a finer one.
    pub fn is_hamming(&self) -> Result<bool, Problem> {
        self.is_in_order("hamming", "asymmetric")
    }

    /// Returns whether the order is `one` instead of `usual`.
    fn is_in_order(&self, one: &str, usual: &str) -> Result<bool, Problem> {
        match self.order.as_deref() {
            None => Ok(false),
            Some(order) if order == one => Ok(true),
            Some(order) if order == usual => Ok(false),
            Some(_) => Err(Problem::new(400, format!("order must be {one} or {usual}"))),
        }
    }
}

fn number(name: &str, value: &str, least: usize, most: usize) -> Result<usize, Problem> {
    let number = value.parse().ok().filter(|number| (least..=most).contains(number));
    number
        .ok_or_else(|| Problem::new(400, format!("{name} must be a number from {least} to {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_or_refused_in_a_sentence() {
        let known = ["k", "under", "label", "radius", "part", "order", "crop"];
        let read = |query| Ask::read(Some(query), &known);
        let ask = read("k=3&under=%2Fa+b%26&label=&radius=0&part=2&order=recent").unwrap();
        assert_eq!((ask.k, ask.under.as_deref(), &ask.label), (3, Some("/a b&"), &None));
        assert_eq!((ask.radius, ask.part, ask.is_recent().unwrap()), (Some(0), Some(2), true));
        assert_eq!(ask.is_hamming().unwrap_err().sentence, "order must be hamming or asymmetric");
        assert!(!read("order=asymmetric").unwrap().is_hamming().unwrap());
        assert!(read("order=hamming").unwrap().is_hamming().unwrap());
        let area = read("crop=25%25%2C0,50%25,40").unwrap().crop.unwrap();
        let rect = area.of(200, 100).unwrap();
        assert_eq!((rect.x, rect.y, rect.width, rect.height), (50, 0, 100, 40));
        let none = Ask::read(None, &[]).unwrap();
        assert_eq!(
            (none.k, none.is_recent().unwrap(), none.is_hamming().unwrap()),
            (K, false, false)
        );
        for query in ["order=up", "order=hamming", "order="] {
            let problem = read(query).unwrap().is_recent().unwrap_err();
            assert_eq!(
                (problem.status, &*problem.sentence),
                (400, "order must be recent or mixed")
            );
        }
        for (query, said) in [
            ("k=0", "k must be a number from 1 to 1000"),
            ("k=-1", "k must be"),
            ("k=1001", "k must be"),
            ("radius=x", "radius must be a number from 0 to 1000000"),
            ("crop=1,2,3", "'1,2,3' is not an area of a picture"),
            ("page=2", "there is no parameter 'page' here; known: k, under"),
        ] {
            let problem = read(query).unwrap_err();
            assert!(problem.status == 400 && problem.sentence.starts_with(said), "{problem:?}");
        }
        assert!(Ask::read(Some("k=1"), &[]).unwrap_err().sentence.ends_with("known: none"));
    }
}
