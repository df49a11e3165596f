/*!
The range of samples that have no fixed black and white: floating-point and signed ones.
*/

use super::kinds::Kind;

/// Returns samples as words of full range, `channels` to a pixel, the last of which is alpha if
/// `alpha`.
///
/// If all colour samples lie in 0 to 1, these are black and white. Else the least is black and
/// the greatest white. Signed whole numbers always take the second way. What is no finite number
/// does not count, and is black. Alpha is 0 to 1, in signed whole numbers 0 to their greatest.
pub fn to_words(
    floats: &[f32],
    (kind, bits): (Kind, usize),
    channels: usize,
    alpha: bool,
) -> Vec<u16> {
    let colours = channels - usize::from(alpha);
    let colour = |at: usize| at % channels < colours;
    let (mut least, mut most) = (f32::INFINITY, f32::NEG_INFINITY);
    for (_, value) in floats.iter().enumerate().filter(|(at, v)| colour(*at) && v.is_finite()) {
        (least, most) = (least.min(*value), most.max(*value));
    }
    if kind == Kind::Float && least >= 0.0 && most <= 1.0 {
        (least, most) = (0.0, 1.0);
    }
    let opaque = if kind == Kind::Float { 1.0 } else { (bits as f64 - 1.0).exp2() - 1.0 };
    let word = |(at, value): (usize, &f32)| {
        // The difference of two numbers of 32 bits may need more.
        let (from, to) =
            if colour(at) { (f64::from(least), f64::from(most)) } else { (0.0, opaque) };
        // Numbers that are not finite, and a picture of one value, end as 0.
        let share = if value.is_finite() { (f64::from(*value) - from) / (to - from) } else { 0.0 };
        (share * 65535.0 + 0.5) as u16
    };
    floats.iter().enumerate().map(word).collect()
}
