//! A stock item: a product and its units.

use alloc::boxed::Box;
use alloc::vec::Vec;

use smallvec::SmallVec;

use crate::digest::Digest;
use crate::event::Product;
use crate::ids::Currency;
use crate::image::{Kind, Malformed, Reader, put_bytes, put_entry, put_u32, put_u64};
use crate::reply::{InventoryView, ProductView};

/// One SKU in two cache lines: what a reserve compares, and the units, which the sale needs alone.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Item {
    /// Most SKUs are short: comparing one follows no pointer.
    sku: SmallVec<[u8; 36]>,
    pub(crate) unit_price: u64,
    pub(crate) currency: Currency,
    /// Whether stock was opened or adjusted; until then `units` is all zero.
    pub(super) is_stocked: bool,
    version: u32,
    pub(super) units: Units,
    name: Box<str>,
}

const _: () = assert!(size_of::<Item>() == 128 && core::mem::offset_of!(Item, units) == 64);

/// Units of one SKU: `adjusted = available + reserved + sold`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Units {
    pub(crate) available: u64,
    pub(crate) reserved: u64,
    pub(crate) sold: u64,
    pub(super) version: u64,
    pub(crate) adjusted: u64,
}

impl Item {
    pub(super) fn new(product: &Product) -> Item {
        Item {
            sku: SmallVec::from_slice(product.sku.as_bytes()),
            unit_price: product.unit_price,
            currency: product.currency,
            is_stocked: false,
            version: 1,
            units: Units::default(),
            name: product.name.clone(),
        }
    }

    #[inline]
    pub(super) fn sku_bytes(&self) -> &[u8] {
        &self.sku
    }

    /// `None` until stock is opened or adjusted for the first time.
    pub(crate) fn units(&self) -> Option<&Units> {
        self.is_stocked.then_some(&self.units)
    }

    pub(crate) fn product(&self) -> Product {
        Product {
            sku: self.sku().into(),
            name: self.name.clone(),
            unit_price: self.unit_price,
            currency: self.currency,
        }
    }

    pub(crate) fn view(&self) -> ProductView {
        ProductView { product: self.product(), version: self.version }
    }

    pub(crate) fn inventory(&self) -> InventoryView {
        self.units.view(self.sku().into())
    }

    /// Takes over what `product`, with the same SKU, says.
    pub(super) fn change(&mut self, product: &Product) {
        self.name = product.name.clone();
        self.unit_price = product.unit_price;
        self.currency = product.currency;
        self.version += 1;
    }

    pub(super) fn digest(&self, digest: &mut Digest) {
        digest.bytes(&self.sku);
        digest.bytes(self.name.as_bytes());
        digest.bytes(&self.currency.bytes());
        digest.word(self.unit_price);
        digest.word(u64::from(self.version) << 1 | u64::from(self.is_stocked));
        let units = &self.units;
        for word in [units.adjusted, units.available, units.reserved, units.sold, units.version] {
            digest.word(word);
        }
    }

    /// Appends the entry of item `index`.
    pub(super) fn put(&self, index: u32, out: &mut Vec<u8>) {
        put_entry(out, Kind::Item, |out| {
            put_u32(out, index);
            put_bytes(out, &self.sku);
            put_bytes(out, self.name.as_bytes());
            out.extend_from_slice(&self.currency.bytes());
            put_u64(out, self.unit_price);
            put_u32(out, self.version);
            out.push(u8::from(self.is_stocked));
            self.units.put(out);
        });
    }

    /// Reads the fields that [`Item::put`] wrote: the index and the item.
    pub(super) fn read(mut fields: Reader<'_>) -> Result<(u32, Item), Malformed> {
        let index = fields.u32()?;
        let sku = SmallVec::from_slice(fields.text()?.as_bytes());
        let name = fields.text()?.into();
        let currency = read_currency(fields.take(3)?)?;
        let unit_price = fields.u64()?;
        let version = fields.u32()?;
        let is_stocked = match fields.u8()? {
            0 => false,
            1 => true,
            _ => return Err("an item is neither stocked nor not"),
        };
        let units = Units::read(&mut fields)?;
        fields.end()?;
        if !is_stocked && units != Units::default() {
            return Err("an item without stock has units");
        }
        Ok((index, Item { sku, unit_price, currency, is_stocked, version, units, name }))
    }

    fn sku(&self) -> &str {
        core::str::from_utf8(&self.sku).expect("made of text")
    }
}

fn read_currency(bytes: &[u8]) -> Result<Currency, Malformed> {
    core::str::from_utf8(bytes).ok().and_then(Currency::parse).ok_or("a currency is not three capitals")
}

impl Units {
    pub(crate) fn view(&self, sku: Box<str>) -> InventoryView {
        InventoryView {
            sku,
            adjusted: self.adjusted,
            available: self.available,
            reserved: self.reserved,
            sold: self.sold,
            version: self.version,
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        for word in [self.adjusted, self.available, self.reserved, self.sold, self.version] {
            put_u64(out, word);
        }
    }

    /// Reads what [`Units::put`] wrote; units that do not add up are none.
    pub(super) fn read(fields: &mut Reader<'_>) -> Result<Units, Malformed> {
        let (adjusted, available, reserved) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let (sold, version) = (fields.u64()?, fields.u64()?);
        let sum = available.checked_add(reserved).and_then(|sum| sum.checked_add(sold));
        if sum != Some(adjusted) {
            return Err("the units of an item do not add up");
        }
        Ok(Units { available, reserved, sold, version, adjusted })
    }
}
