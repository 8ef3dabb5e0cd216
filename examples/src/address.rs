//! Addresses on a command line.

fn split(address: &str) -> Result<(String, u16), String> {
    let (host, port) =
        address.rsplit_once(':').ok_or("expected an address and a port, as in 127.0.0.1:4040")?;
    let port = port.parse().map_err(|_| format!("{port:?} is not a port; expected 0 to 65535"))?;
    if host.is_empty() {
        return Err("expected an address before the colon".to_owned());
    }
    Ok((host.to_owned(), port))
}

/// `IP:PORT`, where port 0 is any free port.
///
/// # Errors
/// When it is of another form.
pub fn to_listen_on(address: &str) -> Result<(String, u16), String> {
    split(address)
}

/// `HOST:PORT`.
///
/// # Errors
/// When it is of another form, or the port is 0.
pub fn to_connect_to(address: &str) -> Result<String, String> {
    match split(address)? {
        (_, 0) => Err("port 0 cannot be connected to".to_owned()),
        _ => Ok(address.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        assert_eq!(to_listen_on("[::]:0"), Ok(("[::]".to_owned(), 0)));
        assert_eq!(to_connect_to("localhost:4040"), Ok("localhost:4040".to_owned()));
        for wrong in ["localhost", ":4040", "localhost:x", "localhost:65536"] {
            assert!(to_listen_on(wrong).is_err(), "{wrong}");
        }
        assert!(to_connect_to("localhost:0").is_err());
    }
}
