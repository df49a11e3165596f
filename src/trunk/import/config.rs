/*!
The preparation of images in the small JSON files beside published weights.
*/

use serde_json::Value;

use crate::cause::Cause;
use crate::image::{Filter, Fit};
use crate::trunk::Input;

impl Input {
    /// Reads the preparation of images in `config.json` of the library timm,
    /// `open_clip_config.json`, or `preprocessor_config.json` of the library transformers. What a
    /// file does not tell is as in `usual`.
    ///
    /// # Errors
    /// If the text is no such file, or a number in it cannot be used.
    pub fn from_config(text: &str, usual: Self) -> Result<Self, Cause> {
        let config: Value = serde_json::from_str(text)?;
        let within =
            ["pretrained_cfg", "preprocess_cfg"].into_iter().find_map(|key| config.get(key));
        let config = within.unwrap_or(&config);
        let get = |keys: [&str; 2]| keys.into_iter().find_map(|key| config.get(key));
        let mean = get(["mean", "image_mean"]).map(scaled).transpose()?;
        let std = get(["std", "image_std"]).map(scaled).transpose()?;
        if mean.is_none() && std.is_none() {
            return Err("it does not tell how images are prepared".into());
        }
        let mut input = usual;
        input.mean = mean.unwrap_or(usual.mean);
        input.std = std.unwrap_or(usual.std);
        if let Some(filter) = get(["interpolation", "resample"]) {
            input.filter = filter_of(filter)?;
        }
        if let Some(shown) = config.get("crop_pct").and_then(Value::as_f64) {
            input.shown = shown;
        }
        let side = |value: &Value, key: &str| match value.get(key) {
            Some(side) => side.as_f64(),
            None => value.as_f64(),
        };
        if let Some(crop) = config.get("crop_size").and_then(|crop| side(crop, "height"))
            && let Some(short) = config.get("size").and_then(|size| side(size, "shortest_edge"))
        {
            input.shown = crop / short;
        }
        let squash = get(["crop_mode", "resize_mode"]).and_then(Value::as_str) == Some("squash");
        input.fit = if squash { Fit::Stretch } else { usual.fit };
        if input.fit == Fit::Stretch {
            input.shown = 1.0;
        }
        input.preprocess(224)?;
        Ok(input)
    }
}

/// Reads three numbers from 0 to 1, and scales them to bytes.
fn scaled(value: &Value) -> Result<[f32; 3], Cause> {
    let numbers: Option<Vec<f64>> =
        value.as_array().and_then(|all| all.iter().map(Value::as_f64).collect());
    let numbers = numbers.and_then(|all| <[f64; 3]>::try_from(all).ok());
    let numbers = numbers.ok_or("its mean or its deviation is not of three channels")?;
    Ok(numbers.map(|number| (number * 255.0) as f32))
}

fn filter_of(value: &Value) -> Result<Filter, Cause> {
    match (value.as_str(), value.as_u64()) {
        // Pillow's numbers.
        (Some("bicubic"), _) | (_, Some(3)) => Ok(Filter::Bicubic),
        (Some("bilinear"), _) | (_, Some(2)) => Ok(Filter::Bilinear),
        _ => Err(format!("its interpolation {value} is neither bicubic nor bilinear").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_forms_are_read() {
        let timm = r#"{"architecture": "convnext_atto", "pretrained_cfg": {"mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5], "interpolation": "bilinear", "crop_pct": 0.95}}"#;
        let input = Input::from_config(timm, Input::IMAGENET).unwrap();
        assert_eq!((input.mean, input.std), ([127.5; 3], [127.5; 3]));
        assert_eq!((input.filter, input.shown, input.fit), (Filter::Bilinear, 0.95, Fit::Crop));
        let transformers = r#"{"image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3,
            "size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}}"#;
        let input = Input::from_config(transformers, Input::IMAGENET).unwrap();
        let (ours, read) = (Input::CLIP, [input.mean, input.std].concat());
        for (ours, read) in [ours.mean, ours.std].concat().into_iter().zip(read) {
            assert!((ours - read).abs() < 1e-4, "{ours} {read}");
        }
        assert_eq!((input.filter, input.shown, input.fit), (ours.filter, ours.shown, ours.fit));
        let openclip = r#"{"model_cfg": {}, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5], "resize_mode": "squash"}}"#;
        assert_eq!(Input::from_config(openclip, Input::CLIP).unwrap().fit, Fit::Stretch);
        for wrong in [
            "{}",
            "[",
            r#"{"mean": [1, 2], "std": [1, 1, 1]}"#,
            r#"{"mean": [0, 0, 0], "std": [0, 0, 0]}"#,
            r#"{"mean": [0, 0, 0], "std": [1, 1, 1], "crop_pct": 7}"#,
            r#"{"mean": [0, 0, 0], "std": [1, 1, 1], "interpolation": "lanczos"}"#,
        ] {
            assert!(Input::from_config(wrong, Input::CLIP).is_err(), "{wrong}");
        }
    }
}
