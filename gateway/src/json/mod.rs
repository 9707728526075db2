//! JSON in and out: what clients send becomes the words of the core, and the views of the core become documents.
//!
//! Reading reports every field error of a body together; writing needs no tree. Both are on the path of every order.

mod audit;
mod catalogue;
pub(crate) mod key;
mod order;
mod parse;
mod render;
mod report;
pub(crate) mod text;
mod value;

pub use audit::render_audit;
pub use catalogue::{parse_adjustment, parse_product, parse_product_line};
#[doc(hidden)]
pub use order::parse_order_from;
pub use order::{parse_batch_item, parse_order};
pub use render::{render_inventory, render_order, render_page, render_placed, render_product};
pub use report::valid_id;
