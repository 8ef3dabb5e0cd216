//! The symbol index of a static library: which names its members define.
//!
//! Every archive that linkers take begins with an index from name to member, written by `ar` in one of two forms: System
//! V's (ELF and COFF; a member called `/`, or `/SYM64/` with 64-bit offsets; numbers are big-endian) and BSD's (Mach-O;
//! a member called `__.SYMDEF…`; numbers are little-endian on all of Apple's targets). The index names exactly the global
//! definitions, so the members themselves need not be parsed, whatever their format.

use std::fmt;

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;

/// A global symbol that a member defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// As the linker sees it: on Mach-O with the leading underscore of C names.
    pub name: &'a [u8],
    /// The file name of the member.
    pub member: &'a [u8],
}

/// Why bytes are no archive with an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It does not begin as an archive does.
    NotAnArchive,
    /// The first member is no index.
    NoIndex,
    /// It ends early, or an offset points outside.
    Truncated,
}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotAnArchive => "it is not an `ar` archive",
            Self::NoIndex => "the archive has no symbol index (run `ranlib` on it)",
            Self::Truncated => "the archive is damaged",
        })
    }
}

impl std::error::Error for Malformed {}

/// All global definitions of `archive`, in the order of its index.
pub fn symbols(archive: &[u8]) -> Result<Vec<Symbol<'_>>, Malformed> {
    if !archive.starts_with(MAGIC) {
        return Err(Malformed::NotAnArchive);
    }
    let index = Member::at(archive, MAGIC.len())?;
    let (names, offsets) = match index.name {
        b"/" => system_v(index.content, 4)?,
        b"/SYM64/" => system_v(index.content, 8)?,
        name if name.starts_with(b"__.SYMDEF_64") => bsd(index.content, 8)?,
        name if name.starts_with(b"__.SYMDEF") => bsd(index.content, 4)?,
        _ => return Err(Malformed::NoIndex),
    };
    let long_names = long_names(archive, index.end)?;
    names
        .into_iter()
        .zip(offsets)
        .map(|(name, offset)| {
            Ok(Symbol { name, member: Member::at(archive, offset)?.file_name(long_names)? })
        })
        .collect()
}

struct Member<'a> {
    /// Without padding; a BSD long name is resolved, a System V one is not.
    name: &'a [u8],
    content: &'a [u8],
    /// Where the next one begins.
    end: usize,
}

impl<'a> Member<'a> {
    fn at(archive: &'a [u8], offset: usize) -> Result<Self, Malformed> {
        let rest = archive.get(offset..).ok_or(Malformed::Truncated)?;
        let (header, rest) = rest.split_at_checked(HEADER).ok_or(Malformed::Truncated)?;
        let size = decimal(header.get(48..58).unwrap_or_default()).ok_or(Malformed::Truncated)?;
        let content = rest.get(..size).ok_or(Malformed::Truncated)?;
        let end = offset + HEADER + size + size % 2;
        let name = header.get(..16).unwrap_or_default().trim_ascii_end();
        if let Some(length) = name.strip_prefix(b"#1/") {
            let length = decimal(length).ok_or(Malformed::Truncated)?;
            let (name, content) = content.split_at_checked(length).ok_or(Malformed::Truncated)?;
            let padding = name.iter().rev().take_while(|&&byte| byte == 0).count();
            let name = name.get(..length - padding).unwrap_or_default();
            return Ok(Self { name, content, end });
        }
        Ok(Self { name, content, end })
    }

    fn file_name(&self, long_names: &'a [u8]) -> Result<&'a [u8], Malformed> {
        let name = match self.name.strip_prefix(b"/").and_then(decimal) {
            Some(at) => {
                let name = long_names.get(at..).ok_or(Malformed::Truncated)?;
                let end = name.iter().position(|&byte| byte == b'\n' || byte == 0).unwrap_or(name.len());
                name.get(..end).unwrap_or_default()
            }
            None => self.name,
        };
        Ok(name.strip_suffix(b"/").unwrap_or(name))
    }
}

/// The member called `//`, which holds names longer than 15 bytes. It follows the index, or a second index.
fn long_names(archive: &[u8], mut offset: usize) -> Result<&[u8], Malformed> {
    while offset < archive.len() {
        let member = Member::at(archive, offset)?;
        match member.name {
            b"//" => return Ok(member.content),
            b"/" => offset = member.end,
            _ => break,
        }
    }
    Ok(&[])
}

/// Count, offsets, then names that end with a zero.
fn system_v(index: &[u8], width: usize) -> Result<(Vec<&[u8]>, Vec<usize>), Malformed> {
    let number = |bytes: &[u8]| {
        usize::try_from(bytes.iter().fold(0_u64, |number, &byte| number << 8 | u64::from(byte)))
            .map_err(|_| Malformed::Truncated)
    };
    let (count, rest) = index.split_at_checked(width).ok_or(Malformed::Truncated)?;
    let count = number(count)?;
    let length = count.checked_mul(width).ok_or(Malformed::Truncated)?;
    let (offsets, names) = rest.split_at_checked(length).ok_or(Malformed::Truncated)?;
    let offsets = offsets.chunks_exact(width).map(number).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<_> = names.split(|&byte| byte == 0).take(count).collect();
    if names.len() < count {
        return Err(Malformed::Truncated);
    }
    Ok((names, offsets))
}

/// Size of the table, pairs of name and member offsets, size of the names, names.
fn bsd(index: &[u8], width: usize) -> Result<(Vec<&[u8]>, Vec<usize>), Malformed> {
    let number = |bytes: &[u8]| {
        usize::try_from(bytes.iter().rev().fold(0_u64, |number, &byte| number << 8 | u64::from(byte)))
            .map_err(|_| Malformed::Truncated)
    };
    let (size, rest) = index.split_at_checked(width).ok_or(Malformed::Truncated)?;
    let (table, rest) = rest.split_at_checked(number(size)?).ok_or(Malformed::Truncated)?;
    let (_, strings) = rest.split_at_checked(width).ok_or(Malformed::Truncated)?;
    let mut names = Vec::new();
    let mut offsets = Vec::new();
    for pair in table.chunks_exact(2 * width) {
        let (name, offset) = pair.split_at_checked(width).ok_or(Malformed::Truncated)?;
        let name = strings.get(number(name)?..).ok_or(Malformed::Truncated)?;
        let end = name.iter().position(|&byte| byte == 0).ok_or(Malformed::Truncated)?;
        names.push(name.get(..end).unwrap_or_default());
        offsets.push(number(offset)?);
    }
    Ok((names, offsets))
}

fn decimal(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, content: &[u8]) -> Vec<u8> {
        let mut bytes =
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 644, content.len()).into_bytes();
        bytes.extend_from_slice(content);
        bytes.extend_from_slice(&b"\n"[..content.len() % 2]);
        bytes
    }

    fn gnu() -> Vec<u8> {
        // The index has 4 + 2 × 4 + 8 bytes, the name table 32.
        let first = (8 + 60 + 20 + 60 + 32_u32).to_be_bytes();
        let second = (8 + 60 + 20 + 60 + 32 + 60 + 4_u32).to_be_bytes();
        let index = [&2_u32.to_be_bytes(), &first, &second, b"one\0".as_slice(), b"two\0"].concat();
        [
            MAGIC.to_vec(),
            member("/", &index),
            member("//", b"a-very-long-member-name.rcgu.o/\n"),
            member("/0", b"code"),
            member("b.o/", b"more"),
        ]
        .concat()
    }

    #[test]
    fn a_system_v_index_is_read() {
        let archive = gnu();
        let symbols = symbols(&archive).unwrap();
        assert_eq!(
            symbols,
            [
                Symbol { name: b"one", member: b"a-very-long-member-name.rcgu.o" },
                Symbol { name: b"two", member: b"b.o" }
            ]
        );
    }

    #[test]
    fn a_bsd_index_is_read() {
        let name = b"__.SYMDEF SORTED\0\0\0\0";
        let offset = 8 + 60 + 20 + 4 + 8 + 4 + 8;
        let index = [
            name.as_slice(),
            &8_u32.to_le_bytes(),
            &3_u32.to_le_bytes(),
            &u32::try_from(offset).unwrap().to_le_bytes(),
            &8_u32.to_le_bytes(),
            b"xx\0_one\0",
        ]
        .concat();
        let archive =
            [MAGIC.to_vec(), member("#1/20", &index), member("#1/8", b"c.o\0\0\0\0\0code")].concat();
        assert_eq!(symbols(&archive).unwrap(), [Symbol { name: b"_one", member: b"c.o" }]);
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        assert_eq!(symbols(b"\x7fELF"), Err(Malformed::NotAnArchive));
        assert_eq!(symbols(&[MAGIC, &member("a.o/", b"code")].concat()), Err(Malformed::NoIndex));
        let archive = gnu();
        for length in 0..archive.len() - 4 {
            assert!(symbols(&archive[..length]).is_err(), "{length}");
        }
        for at in 0..archive.len() {
            for byte in [0, 0x20, 0x39, 0xff] {
                let mut broken = archive.clone();
                broken[at] = byte;
                let _ = symbols(&broken);
            }
        }
    }
}
