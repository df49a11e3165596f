/*!
Points of the plane, and their arithmetic.
*/

use std::ops::{Add, Mul, Sub};

/// A point or a direction; y points down, as in a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct At {
    pub x: f32,
    pub y: f32,
}

/// Creates a point.
pub const fn at(x: f32, y: f32) -> At {
    At { x, y }
}

impl At {
    /// Returns the length.
    pub fn length(self) -> f32 {
        self.x.hypot(self.y)
    }

    /// Returns the unit vector of this direction; for a zero vector, the one that points right.
    pub fn unit(self) -> Self {
        let length = self.length();
        if length < 1e-6 { at(1.0, 0.0) } else { self * (1.0 / length) }
    }

    /// Returns the direction turned by 90 degrees.
    pub fn across(self) -> Self {
        at(-self.y, self.x)
    }

    /// Returns the point `share` of the way to `other`.
    pub fn towards(self, other: Self, share: f32) -> Self {
        self + (other - self) * share
    }

    /// Returns the dot product.
    pub fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y
    }

    /// Rotates the point by `angle` radians about `pivot`.
    pub fn turned(self, pivot: Self, angle: f32) -> Self {
        let (sine, cosine) = angle.sin_cos();
        let arm = self - pivot;
        pivot + at(arm.x * cosine - arm.y * sine, arm.x * sine + arm.y * cosine)
    }
}

impl Add for At {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        at(self.x + other.x, self.y + other.y)
    }
}

impl Sub for At {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        at(self.x - other.x, self.y - other.y)
    }
}

impl Mul<f32> for At {
    type Output = Self;
    fn mul(self, factor: f32) -> Self {
        at(self.x * factor, self.y * factor)
    }
}

/// Returns a smooth step that rises from 0 at `low` to 1 at `high`.
pub fn ramp(low: f32, high: f32, value: f32) -> f32 {
    let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
    share * share * (3.0 - 2.0 * share)
}

/// Returns the two corners of the smallest axis-aligned rectangle around some points.
pub fn bounds(points: &[At]) -> (At, At) {
    let first = points.first().copied().unwrap_or_default();
    points.iter().fold((first, first), |(low, high), p| {
        (at(low.x.min(p.x), low.y.min(p.y)), at(high.x.max(p.x), high.y.max(p.y)))
    })
}
