//! What the library's files are called, by target and linkage.

use std::fmt;

/// How a program is linked with the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linkage {
    /// The library becomes part of the program.
    Static,
    /// The program loads the library when it starts.
    Dynamic,
}

impl fmt::Display for Linkage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Static => "static",
            Self::Dynamic => "dynamic",
        })
    }
}

/// A target triple, such as `x86_64-unknown-linux-gnu`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(String);

impl Target {
    /// The target of that name.
    pub fn new(triple: impl Into<String>) -> Self {
        Self(triple.into())
    }

    /// The name.
    pub fn triple(&self) -> &str {
        &self.0
    }

    /// Whether it is a Windows target.
    pub fn is_windows(&self) -> bool {
        self.0.contains("-windows-")
    }

    /// Whether it is a target of Apple's, where C names begin with an underscore.
    pub fn is_apple(&self) -> bool {
        self.0.contains("-apple-")
    }

    fn is_msvc(&self) -> bool {
        self.0.ends_with("-msvc")
    }

    /// The file of the library.
    pub fn file_name(&self, linkage: Linkage) -> &'static str {
        match linkage {
            Linkage::Static if self.is_msvc() => "dittoffi.lib",
            Linkage::Static => "libdittoffi.a",
            Linkage::Dynamic if self.is_windows() => "dittoffi.dll",
            Linkage::Dynamic if self.is_apple() => "libdittoffi.dylib",
            Linkage::Dynamic => "libdittoffi.so",
        }
    }

    /// System libraries that the static library needs, beyond what every Rust program links.
    pub fn native_libraries(&self) -> &'static [&'static str] {
        if self.is_windows() {
            &["bcrypt", "advapi32", "kernel32", "ntdll", "userenv", "ws2_32", "dbghelp"]
        } else if self.is_apple() || self.0.contains("-android") || self.0.ends_with("-musl") {
            &[]
        } else {
            &["m", "pthread", "dl"]
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_the_platform_does() {
        let names = |triple| {
            let target = Target::new(triple);
            (target.file_name(Linkage::Static), target.file_name(Linkage::Dynamic))
        };
        assert_eq!(names("x86_64-unknown-linux-gnu"), ("libdittoffi.a", "libdittoffi.so"));
        assert_eq!(names("aarch64-linux-android"), ("libdittoffi.a", "libdittoffi.so"));
        assert_eq!(names("aarch64-apple-darwin"), ("libdittoffi.a", "libdittoffi.dylib"));
        assert_eq!(names("x86_64-pc-windows-gnu"), ("libdittoffi.a", "dittoffi.dll"));
        assert_eq!(names("x86_64-pc-windows-msvc"), ("dittoffi.lib", "dittoffi.dll"));
    }
}
