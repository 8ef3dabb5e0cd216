//! License tokens: taken for the sake of programs that set one. Nothing depends on them.

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::error::{DittoError, ErrorKind};

/// Checks that a token looks like one: base64 in either alphabet, padded or not, and not empty.
pub(super) fn check_form(token: &str) -> Result<(), DittoError> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let token = token.trim();
    let is_base64 = [STANDARD, URL_SAFE]
        .iter()
        .any(|alphabet| GeneralPurpose::new(alphabet, config).decode(token).is_ok());
    if token.is_empty() || !is_base64 {
        return Err(DittoError::new(
            ErrorKind::License,
            "the license token failed verification: it is not base64 text; was it copied in full?",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_refused_and_base64_accepted() {
        for garbage in ["", "  ", "not a token!", "ä"] {
            assert_eq!(check_form(garbage).unwrap_err().kind(), ErrorKind::License);
        }
        for token in ["o2d1c2VyX2lk", " AQI=\n", "AQI", "-_-_"] {
            check_form(token).unwrap();
        }
    }
}
