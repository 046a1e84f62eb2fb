//! How the parts of an evidence document are described: one declaration an object,
//! from which come the type that is written and the type that is read.
//!
//! Guarantees: a name stands in one place, as the field's; reading is total: what is
//! absent or of another form is `None`, whatever the document holds, and costs no more
//! than the document's size.
//! Deliberately lacks: belief. What is read is claimed.

use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// Longest list of what an executor or a machine says, entries.
const LIST_MAX: usize = 256;
/// Longest text of a number that is read, bytes.
const NUMBER_BYTES_MAX: usize = 40;

/// A part of an evidence document.
pub trait Described {
    /// What a reader has of it.
    type Claimed: Clone + Debug + PartialEq;

    /// Most entries of a list of these that are read.
    const ENTRIES_MAX: usize = usize::MAX;

    /// Reads it; `None` where `value` has another form.
    fn claimed(value: &Value) -> Option<Self::Claimed>;

    /// Cuts texts to `text_chars_max` characters and lists to 256 entries.
    fn bound(&mut self, text_chars_max: usize);
}

/// Declares an object of the document: the struct that is written, with its fields in
/// the document's names, and after `=>` the struct that is read, in which every field
/// is optional. Fields after `flat` are the object's own; those after `aside` are not
/// in the document.
macro_rules! described {
    (
        $(#[$meta:meta])*
        pub struct $name:ident => $claimed:ident {
            $(flat $flat_doc:literal $flat:ident: $flat_ty:ident => $flat_claimed:ident,)?
            $($(#[doc = $doc:literal])+ $(#[serde($($serde:tt)*)])? pub $field:ident: $ty:ty,)*
            $(aside $aside_doc:literal $aside:ident: $aside_ty:ty,)*
        }
    ) => {
        $(#[$meta])*
        pub struct $name {
            $(#[doc = $flat_doc] #[serde(flatten)] pub $flat: $flat_ty,)?
            $($(#[doc = $doc])+ $(#[serde($($serde)*)])? pub $field: $ty,)*
            $(#[doc = $aside_doc] #[serde(skip)] pub $aside: $aside_ty,)*
        }

        #[doc = concat!("What a document says in the place of [`", stringify!($name), "`].")]
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $claimed {
            $(#[doc = $flat_doc] pub $flat: $flat_claimed,)?
            $(
                $(#[doc = $doc])+
                pub $field: Option<<$ty as $crate::evidence::described::Described>::Claimed>,
            )*
        }

        impl $claimed {
            /// Reads the members that it knows.
            pub(in $crate::evidence) fn of(
                members: &serde_json::Map<String, serde_json::Value>,
            ) -> Self {
                Self {
                    $($flat: $flat_claimed::of(members),)?
                    $($field: $crate::evidence::described::member::<$ty>(
                        members,
                        stringify!($field),
                    ),)*
                }
            }
        }

        impl $crate::evidence::described::Described for $name {
            type Claimed = $claimed;
            const ENTRIES_MAX: usize = $crate::evidence::described::OBJECTS_MAX;
            fn claimed(value: &serde_json::Value) -> Option<$claimed> {
                value.as_object().map($claimed::of)
            }
            fn bound(&mut self, text_chars_max: usize) {
                $(self.$flat.bound(text_chars_max);)?
                $(
                    $crate::evidence::described::Described::bound(
                        &mut self.$field,
                        text_chars_max,
                    );
                )*
            }
        }
    };
}
pub(in crate::evidence) use described;

/// Most objects of a list that are read: one of `{}` takes a thousand times its text.
pub(in crate::evidence) const OBJECTS_MAX: usize = 256;

/// The member of this name.
pub(in crate::evidence) fn member<T: Described>(
    members: &Map<String, Value>,
    name: &str,
) -> Option<T::Claimed> {
    T::claimed(members.get(name)?)
}

/// A whole number >= 0, written as one or as text. A fraction in a text counts as the
/// next whole number.
fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) if text.len() <= NUMBER_BYTES_MAX => {
            text.parse().ok().or_else(|| {
                let number: f64 = text.parse().ok()?;
                // The greatest u64 stands for more.
                (number.is_finite() && number >= 0.0).then_some(number.ceil() as u64)
            })
        }
        _ => None,
    }
}

macro_rules! whole_numbers {
    ($($ty:ty)*) => {$(
        impl Described for $ty {
            type Claimed = u64;
            fn claimed(value: &Value) -> Option<u64> {
                whole(value)
            }
            fn bound(&mut self, _: usize) {}
        }
    )*};
}
whole_numbers! { u32 u64 usize }

/// A number that is written as a text of decimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digits(pub u64);

impl Serialize for Digits {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Described for Digits {
    type Claimed = u64;
    fn claimed(value: &Value) -> Option<u64> {
        whole(value)
    }
    fn bound(&mut self, _: usize) {}
}

/// Numbers that the protocol or the plan of a run bounds: as many as there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Numbers<T>(pub Vec<T>);

impl<T: Described> Described for Numbers<T> {
    type Claimed = Vec<Option<T::Claimed>>;
    fn claimed(value: &Value) -> Option<Self::Claimed> {
        Some(value.as_array()?.iter().map(T::claimed).collect())
    }
    fn bound(&mut self, _: usize) {}
}

impl<T> Numbers<T> {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A pair.
impl<T: Described> Described for [T; 2] {
    type Claimed = Vec<Option<T::Claimed>>;
    fn claimed(value: &Value) -> Option<Self::Claimed> {
        Some(value.as_array()?.iter().map(T::claimed).collect())
    }
    fn bound(&mut self, text_chars_max: usize) {
        self.iter_mut().for_each(|entry| entry.bound(text_chars_max));
    }
}

impl Described for bool {
    type Claimed = bool;
    fn claimed(value: &Value) -> Option<bool> {
        value.as_bool()
    }
    fn bound(&mut self, _: usize) {}
}

impl Described for String {
    type Claimed = String;
    fn claimed(value: &Value) -> Option<String> {
        value.as_str().map(str::to_owned)
    }
    fn bound(&mut self, text_chars_max: usize) {
        if let Some((end, _)) = self.char_indices().nth(text_chars_max) {
            self.truncate(end);
        }
    }
}

/// Words that are the program's own are as short as they are.
impl Described for &'static str {
    type Claimed = String;
    fn claimed(value: &Value) -> Option<String> {
        String::claimed(value)
    }
    fn bound(&mut self, _: usize) {}
}

/// Implements [`Described`] for types that are written as one text of the program's own.
macro_rules! words {
    ($($ty:ty)*) => {$(
        impl $crate::evidence::described::Described for $ty {
            type Claimed = String;
            fn claimed(value: &serde_json::Value) -> Option<String> {
                <String as $crate::evidence::described::Described>::claimed(value)
            }
            fn bound(&mut self, _: usize) {}
        }
    )*};
}
pub(in crate::evidence) use words;

impl<T: Described> Described for Option<T> {
    type Claimed = T::Claimed;
    const ENTRIES_MAX: usize = T::ENTRIES_MAX;
    fn claimed(value: &Value) -> Option<T::Claimed> {
        T::claimed(value)
    }
    fn bound(&mut self, text_chars_max: usize) {
        if let Some(inner) = self {
            inner.bound(text_chars_max);
        }
    }
}

/// Entries of another form keep their place.
impl<T: Described> Described for Vec<T> {
    type Claimed = Vec<Option<T::Claimed>>;
    fn claimed(value: &Value) -> Option<Self::Claimed> {
        Some(value.as_array()?.iter().take(T::ENTRIES_MAX).map(T::claimed).collect())
    }
    fn bound(&mut self, text_chars_max: usize) {
        self.truncate(LIST_MAX);
        self.iter_mut().for_each(|entry| entry.bound(text_chars_max));
    }
}

/// Texts by name.
impl<K> Described for BTreeMap<K, String> {
    type Claimed = BTreeMap<String, String>;
    fn claimed(value: &Value) -> Option<Self::Claimed> {
        let text = |(name, text): (&String, &Value)| Some((name.clone(), String::claimed(text)?));
        Some(value.as_object()?.iter().filter_map(text).collect())
    }
    fn bound(&mut self, text_chars_max: usize) {
        self.values_mut().for_each(|text| text.bound(text_chars_max));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    described! {
        /// Part of both.
        #[derive(Clone, Debug, Default, Serialize)]
        pub struct Inner => ClaimedInner {
            /// A text.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub text: Option<String>,
        }
    }

    described! {
        /// An object of every kind of field.
        #[derive(Clone, Debug, Default, Serialize)]
        pub struct Outer => ClaimedOuter {
            flat "Its own." inner: Inner => ClaimedInner,
            /// A number.
            pub number: u64,
            /// A list.
            pub list: Vec<Inner>,
            /// Numbers.
            pub numbers: Numbers<Digits>,
            aside "Not told." secret: String,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let inner = Inner { text: Some("a".to_owned()) };
        let outer = Outer {
            inner: inner.clone(),
            number: 7,
            list: vec![inner],
            numbers: Numbers(vec![Digits(u64::MAX)]),
            secret: "b".to_owned(),
        };
        let value = serde_json::to_value(&outer).unwrap();
        let max = u64::MAX.to_string();
        assert_eq!(outer.secret, "b");
        assert_eq!(
            value,
            json!({"text": "a", "number": 7, "list": [{"text": "a"}], "numbers": [max]})
        );
        let read = Outer::claimed(&value).unwrap();
        assert_eq!((read.inner.text.as_deref(), read.number), (Some("a"), Some(7)));
        assert_eq!(read.list.unwrap()[0].as_ref().unwrap().text.as_deref(), Some("a"));
        assert_eq!(read.numbers, Some(vec![Some(u64::MAX)]));
    }

    #[test]
    fn whatever_has_another_form_is_absent_and_nothing_else() {
        for odd in [json!("x"), json!([]), json!({}), json!(-1), json!(true), json!("1e400")] {
            let value = json!({"text": "a", "number": odd, "list": [odd, {"text": odd}]});
            let read = Outer::claimed(&value).unwrap();
            assert_eq!((read.inner.text.as_deref(), read.number), (Some("a"), None), "{odd}");
            assert_eq!(read.list.unwrap().len(), 2, "entries keep their places");
            assert_eq!(read.numbers, None);
        }
        for odd in [json!(1), json!([1]), json!("a")] {
            assert_eq!(Outer::claimed(&odd), None);
        }
    }

    #[test]
    fn numbers_are_read_from_both_forms_and_nothing_else_is_one() {
        assert_eq!(whole(&json!(1980)), Some(1980));
        assert_eq!(whole(&json!("18446744073709551615")), Some(u64::MAX));
        assert_eq!((whole(&json!("699.5")), whole(&json!("0.5"))), (Some(700), Some(1)));
        for other in [json!(-1), json!("-1"), json!("nan"), json!("inf"), json!([1]), json!("")] {
            assert_eq!(whole(&other), None, "{other}");
        }
        assert_eq!(whole(&json!("1".repeat(41))), None);
    }

    #[test]
    fn lengths_are_bounded() {
        let long = || Inner { text: Some("ü".repeat(5000)) };
        let mut outer = Outer { list: vec![long(); 5000], inner: long(), ..Outer::default() };
        outer.numbers = Numbers(vec![Digits(1); 5000]);
        outer.bound(1024);
        let chars = |inner: &Inner| inner.text.as_ref().unwrap().chars().count();
        assert_eq!((outer.list.len(), chars(&outer.list[0])), (LIST_MAX, 1024));
        assert_eq!((outer.numbers.0.len(), chars(&outer.inner)), (5000, 1024));
        let many = json!({"list": vec![json!({}); 5000]});
        assert_eq!(Outer::claimed(&many).unwrap().list.unwrap().len(), OBJECTS_MAX);
    }
}
