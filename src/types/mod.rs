//! Values, their types, and the one encoding that every replica and log entry shares.

pub mod array;
pub mod binary;
pub mod cast;
pub mod compare;
pub mod datetime;
pub mod difference;
pub mod encode;
pub mod float;
pub mod id;
pub mod interval;
pub mod json;
pub mod numeric;
pub mod overlay;
pub mod piece;
#[cfg(test)]
mod rubbish;
pub mod settings;
pub mod text;
pub mod ty;
pub mod value;
pub mod write;

pub use interval::Interval;
pub use numeric::Numeric;
pub use ty::Type;
pub use value::{Array, MAXIMUM_BYTES, Row, Value, row_bytes};
