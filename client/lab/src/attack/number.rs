//! Numbers, and numbers with a derivative along one direction.

use std::ops::{Add, AddAssign, Mul, Neg, Sub};

/// What a network can be computed with.
pub(super) trait Number:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + From<f64>
{
    /// `e^x`.
    fn exp(self) -> Self;
    /// `ln x`.
    fn ln(self) -> Self;
    /// `1 / x`.
    fn inverse(self) -> Self;
    /// The number without its derivative.
    fn value(self) -> f64;
}

impl Number for f64 {
    fn exp(self) -> Self {
        self.exp()
    }

    fn ln(self) -> Self {
        self.ln()
    }

    fn inverse(self) -> Self {
        1.0 / self
    }

    fn value(self) -> f64 {
        self
    }
}

/// A number and its derivative along a direction (a dual number): what is computed with these by the
/// rules of differentiation is the derivative of the result, to rounding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Dual {
    pub(super) value: f64,
    pub(super) derivative: f64,
}

impl From<f64> for Dual {
    fn from(value: f64) -> Self {
        Self { value, derivative: 0.0 }
    }
}

impl Add for Dual {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { value: self.value + other.value, derivative: self.derivative + other.derivative }
    }
}

impl AddAssign for Dual {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Neg for Dual {
    type Output = Self;
    fn neg(self) -> Self {
        Self { value: -self.value, derivative: -self.derivative }
    }
}

impl Sub for Dual {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Dual {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let derivative = self.derivative * other.value + self.value * other.derivative;
        Self { value: self.value * other.value, derivative }
    }
}

impl Number for Dual {
    fn exp(self) -> Self {
        let value = self.value.exp();
        Self { value, derivative: value * self.derivative }
    }

    fn ln(self) -> Self {
        Self { value: self.value.ln(), derivative: self.derivative / self.value }
    }

    fn inverse(self) -> Self {
        let value = 1.0 / self.value;
        Self { value, derivative: -value * value * self.derivative }
    }

    fn value(self) -> f64 {
        self.value
    }
}
