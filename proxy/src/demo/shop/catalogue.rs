//! What the shop sells.

/// A thing on sale.
pub(in crate::demo) struct Product {
    /// Its number, as in `/products/3`.
    pub(in crate::demo) id: u64,
    /// Its name.
    pub(in crate::demo) name: &'static str,
    /// Its price in cents.
    pub(in crate::demo) cents: u64,
}

/// The whole range.
pub(in crate::demo) const PRODUCTS: [Product; 4] = [
    product(1, "teapot", 2490),
    product(2, "cup", 590),
    product(3, "tea", 780),
    product(4, "honey", 640),
];

const fn product(id: u64, name: &'static str, cents: u64) -> Product {
    Product { id, name, cents }
}

/// The product with this number.
pub(super) fn find(id: u64) -> Option<&'static Product> {
    PRODUCTS.iter().find(|product| product.id == id)
}
