/*!
CIE Lab to sRGB.
*/

/// Converts CIE L*a*b* of white point D50 (L* of 0 to 100) to sRGB of 0 to 1, clipped.
///
/// The inverse of CIE 15:2004, 8.2.1, then the matrix from D50 (Bradford-adapted) to linear sRGB
/// and the transfer function of IEC 61966-2-1.
pub(super) fn lab_to_srgb([lightness, a, b]: [f32; 3]) -> [f32; 3] {
    const WHITE: [f32; 3] = [0.96422, 1.0, 0.82521];
    let fy = (lightness + 16.0) / 116.0;
    let cube = |f: f32| if f > 6.0 / 29.0 { f * f * f } else { (f - 4.0 / 29.0) * 108.0 / 841.0 };
    let x = WHITE[0] * cube(fy + a / 500.0);
    let y = WHITE[1] * cube(fy);
    let z = WHITE[2] * cube(fy - b / 200.0);
    let linear = [
        3.133_856 * x - 1.616_866_7 * y - 0.490_614_6 * z,
        -0.978_768_4 * x + 1.916_141_5 * y + 0.033_454 * z,
        0.071_945_3 * x - 0.228_991_4 * y + 1.405_242_7 * z,
    ];
    linear.map(|value| {
        let value = value.clamp(0.0, 1.0);
        if value <= 0.003_130_8 { 12.92 * value } else { 1.055 * value.powf(1.0 / 2.4) - 0.055 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_colours() {
        let bytes = |lab| lab_to_srgb(lab).map(|value| (value * 255.0).round() as u8);
        assert_eq!(bytes([100.0, 0.0, 0.0]), [255; 3]);
        assert_eq!(bytes([0.0, 0.0, 0.0]), [0; 3]);
        // sRGB's red and blue under D50.
        assert_eq!(bytes([54.29, 80.81, 69.89]), [255, 0, 0]);
        assert_eq!(bytes([29.57, 68.30, -112.03]), [0, 0, 255]);
    }
}
