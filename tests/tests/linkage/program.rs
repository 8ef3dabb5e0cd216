//! A program outside the repository that links libdittoffi.

use std::{panic, process::ExitCode, ptr, thread};

use dittolive_ditto_sys as sys;

fn main() -> ExitCode {
    let fingerprint = unsafe { sys::dittoffi_abi_fingerprint() };
    let fingerprint = unsafe { std::slice::from_raw_parts(fingerprint.ptr, fingerprint.len) };
    assert_eq!(fingerprint, sys::ABI_FINGERPRINT.as_bytes());

    // An error comes back as a handle.
    let mut peer = ptr::null_mut();
    let nothing = sys::dittoffi_slice_t { ptr: ptr::null(), len: 0 };
    let error = unsafe { sys::dittoffi_peer_open(nothing, &mut peer) };
    assert_eq!(unsafe { sys::dittoffi_error_code(error) }, sys::DITTOFFI_ERROR_CODE_VALIDATION_INVALID_CBOR);
    unsafe { sys::dittoffi_error_free(error) };

    // A panic of this program stays in this program's copy of the standard library.
    panic::set_hook(Box::new(|_| {}));
    assert!(panic::catch_unwind(|| panic!("mine")).is_err());
    assert!(thread::spawn(|| panic!("mine")).join().is_err());
    println!("linked");
    ExitCode::SUCCESS
}
