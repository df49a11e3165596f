/*!
Activations of vector registers, and the exponential and error functions behind them.
*/

use pulp::Simd;

/// The function that follows a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::trunk) enum Activation {
    /// No function.
    None,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x · Φ(x)`, with the normal distribution.
    Gelu,
    /// `x · σ(1.702 x)`.
    QuickGelu,
}

impl Activation {
    /// Applies the function to a register.
    #[inline(always)]
    pub(super) fn apply<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        let zero = simd.splat_f32s(0.0);
        match self {
            Self::None => x,
            Self::Relu => simd.max_f32s(x, zero),
            Self::Relu6 => simd.min_f32s(simd.max_f32s(x, zero), simd.splat_f32s(6.0)),
            Self::Gelu => gelu(simd, x),
            Self::QuickGelu => {
                let e = exp(simd, simd.mul_f32s(x, simd.splat_f32s(-1.702)));
                simd.div_f32s(x, simd.add_f32s(e, simd.splat_f32s(1.0)))
            }
        }
    }
}

/// `eˣ`, for x limited to −87 to 88; the relative error is below 3e-7.
///
/// `eˣ = 2ⁿ · eʳ` with n the integer next to `x / ln 2`, and eʳ by its series to the seventh power.
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let splat = |value: f32| simd.splat_f32s(value);
    let x = simd.min_f32s(simd.max_f32s(x, splat(-87.0)), splat(88.0));
    // Added to a small number, this rounds it to an integer, which is then in the lowest bits.
    let magic = splat(12_582_912.0);
    let shifted = simd.mul_add_e_f32s(x, splat(std::f32::consts::LOG2_E), magic);
    let n = simd.sub_f32s(shifted, magic);
    // ln 2 in two parts, the first of which has few digits.
    let r = simd.mul_add_e_f32s(n, splat(-0.693_359_4), x);
    let r = simd.mul_add_e_f32s(n, splat(2.121_944_4e-4), r);
    let mut sum = splat(1.0 / 5040.0);
    for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = simd.mul_add_e_f32s(sum, r, splat(factor));
    }
    let bits = simd.transmute_u32s_f32s(shifted);
    let bits = simd.wrapping_dyn_shl_u32s(bits, simd.splat_u32s(23));
    let power = simd.add_u32s(bits, simd.splat_u32s(127 << 23));
    simd.mul_f32s(sum, simd.transmute_f32s_u32s(power))
}

/// `x · Φ(x)`, with an error below 3e-7 · max(|x|, 1).
///
/// The normal distribution by formula 7.1.26 of Abramowitz and Stegun (1964).
#[inline(always)]
fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let splat = |value: f32| simd.splat_f32s(value);
    let z = simd.mul_f32s(simd.abs_f32s(x), splat(std::f32::consts::FRAC_1_SQRT_2));
    let t = simd.div_f32s(splat(1.0), simd.mul_add_e_f32s(z, splat(0.327_591_1), splat(1.0)));
    let mut sum = splat(1.061_405_4);
    for factor in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        sum = simd.mul_add_e_f32s(sum, t, splat(factor));
    }
    // Beyond this the share is nothing, and smaller numbers than normal ones are slow.
    let square = simd.min_f32s(simd.mul_f32s(z, z), splat(60.0));
    let e = exp(simd, simd.neg_f32s(square));
    // Twice the share beyond |x|.
    let beyond = simd.mul_f32s(simd.mul_f32s(sum, t), e);
    // x·Φ(x) is max(x, 0) − |x| · beyond / 2.
    let half = simd.mul_f32s(simd.mul_f32s(simd.abs_f32s(x), splat(-0.5)), beyond);
    simd.add_f32s(simd.max_f32s(x, splat(0.0)), half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::{Arch, WithSimd};

    struct Apply(Activation, f32);

    impl WithSimd for Apply {
        type Output = f32;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> f32 {
            let y = match self.0 {
                Activation::None => exp(simd, simd.splat_f32s(self.1)),
                activation => activation.apply(simd, simd.splat_f32s(self.1)),
            };
            simd.reduce_max_f32s(y)
        }
    }

    /// erf by its series, or by its continued fraction beyond 3.
    fn erf(x: f64) -> f64 {
        let (sign, x) = (x.signum(), x.abs());
        if x > 3.0 {
            let mut fraction = 0.0;
            for k in (1..60).rev() {
                fraction = f64::from(k) / 2.0 / (x + fraction);
            }
            let rest = (-x * x).exp() / (std::f64::consts::PI.sqrt() * (x + fraction));
            return sign * (1.0 - rest);
        }
        let (mut term, mut sum) = (x, x);
        for k in 1..80 {
            term *= -x * x / f64::from(k);
            sum += term / f64::from(2 * k + 1);
        }
        sign * sum * std::f64::consts::FRAC_2_SQRT_PI
    }

    #[test]
    fn activations_are_the_exact_ones() {
        let apply = |activation, x| f64::from(Arch::new().dispatch(Apply(activation, x)));
        for step in -12_000..=12_000 {
            let x = step as f32 / 1000.0;
            let wide = f64::from(x);
            let gelu = wide * (1.0 + erf(wide / std::f64::consts::SQRT_2)) / 2.0;
            let error = (apply(Activation::Gelu, x) - gelu).abs();
            assert!(error < 3e-7 * wide.abs().max(1.0), "gelu({x}): {error}");
            let quick = wide / (1.0 + (-1.702 * wide).exp());
            let error = (apply(Activation::QuickGelu, x) - quick).abs();
            assert!(error < 1e-6 * wide.abs().max(1.0), "quick({x}): {error}");
            let power = wide.exp();
            assert!((apply(Activation::None, x) / power - 1.0).abs() < 4e-7, "exp({x})");
        }
        for x in [-1e30f32, -1e4, -100.0, 100.0, 1e4, 1e30] {
            let gelu = apply(Activation::Gelu, x);
            assert!((gelu - f64::from(x.max(0.0))).abs() < 1e-20, "{x}: {gelu}");
            assert!(apply(Activation::QuickGelu, x).is_finite());
        }
        assert_eq!(apply(Activation::Relu6, 9.0), 6.0);
        assert_eq!(apply(Activation::Relu, -9.0), 0.0);
    }
}
