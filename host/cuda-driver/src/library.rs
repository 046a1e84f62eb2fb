//! The driver library and the addresses found in it.

use libloading::Library;
use std::ffi::{CStr, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The name that every installed driver answers to.
const LIBRARY: &str = "libcuda.so.1";

/// Why there is no driver to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoDriver {
    /// The dynamic loader's words.
    pub reason: String,
}

impl std::fmt::Display for NoDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no CUDA driver: {}", self.reason)
    }
}

impl std::error::Error for NoDriver {}

/// Never dropped: the driver has threads of its own and must stay mapped.
static DRIVER: OnceLock<Result<Library, NoDriver>> = OnceLock::new();

/// What the loader says, which is the cause of an error; it mostly begins with the library.
fn words(error: &dyn std::error::Error) -> String {
    let said = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    if said.starts_with(LIBRARY) { said } else { format!("{LIBRARY}: {said}") }
}

fn library() -> &'static Result<Library, NoDriver> {
    DRIVER.get_or_init(|| {
        // SAFETY: loading runs the library's initialisers. libcuda.so.1 is the
        // system's display driver, found by the dynamic loader's own rules;
        // its initialisers are made to run in any process.
        unsafe { Library::new(LIBRARY) }.map_err(|error| NoDriver { reason: words(&error) })
    })
}

/// Loads the driver library if that has not been tried yet.
///
/// # Errors
/// The dynamic loader found no `libcuda.so.1`, or could not load it. The
/// answer is the same for the life of the process.
pub fn driver() -> Result<(), NoDriver> {
    library().as_ref().map(|_| ()).map_err(Clone::clone)
}

/// Why a function was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// No driver library at all.
    Driver,
    /// The driver is older than the function.
    Function,
}

/// One function of the driver, looked up at first use.
pub(crate) struct Symbol {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
}

impl Symbol {
    /// `name` ends with its only zero byte, or the program does not compile.
    pub(crate) const fn new(name: &'static str) -> Self {
        match CStr::from_bytes_with_nul(name.as_bytes()) {
            Ok(name) => Self { name, address: AtomicPtr::new(std::ptr::null_mut()) },
            Err(_) => panic!("the name must end with its only zero byte"),
        }
    }

    /// The function's address; never null.
    pub(crate) fn resolve(&self) -> Result<*mut c_void, Missing> {
        let known = self.address.load(Ordering::Acquire);
        if !known.is_null() {
            return Ok(known);
        }
        let library = library().as_ref().map_err(|_| Missing::Driver)?;
        // SAFETY: the symbol is only turned into an address here; the caller
        // gives it the type that cuda.h declares for this name.
        let found = unsafe { library.get::<*mut c_void>(self.name.to_bytes_with_nul()) };
        let address = *found.map_err(|_| Missing::Function)?;
        if address.is_null() {
            return Err(Missing::Function);
        }
        // Two threads may look it up at once; both find the same address.
        self.address.store(address, Ordering::Release);
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_function_is_missing_and_not_null() {
        // A lookup that answered Ok(null) would be called.
        let symbol = Symbol::new("cuNoFunctionOfThisName\0");
        let missing = symbol.resolve().unwrap_err();
        let expected = if driver().is_ok() { Missing::Function } else { Missing::Driver };
        assert_eq!(missing, expected);
    }

    #[test]
    fn the_reason_names_the_library() {
        if let Err(error) = driver() {
            assert!(error.to_string().contains("libcuda.so.1"), "{error}");
        }
    }
}
