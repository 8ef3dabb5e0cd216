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

    /// Whether programs are WebAssembly, which has no shared libraries.
    pub fn is_wasm(&self) -> bool {
        self.0.starts_with("wasm")
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

    /// What the linker takes in the place of the shared library, if it is another file: Microsoft's wants an import
    /// library, which rustc puts beside the DLL.
    pub fn import_library(&self) -> Option<&'static str> {
        self.is_msvc().then_some("dittoffi.dll.lib")
    }

    /// The name of the library for `-l`.
    pub fn link_name(&self, linkage: Linkage) -> &'static str {
        match linkage {
            Linkage::Dynamic if self.is_msvc() => "dittoffi.dll",
            _ => "dittoffi",
        }
    }

    /// System libraries that the static library needs, beyond what every Rust program links.
    pub fn native_libraries(&self) -> &'static [&'static str] {
        if self.is_windows() {
            &["bcrypt", "advapi32", "kernel32", "ntdll", "userenv", "ws2_32", "dbghelp"]
        } else if self.0.contains("-linux-gnu") {
            &["m", "pthread", "dl"]
        } else if self.0.ends_with("bsd") || self.0.ends_with("-dragonfly") {
            &["m", "pthread"]
        } else {
            // Apple's, Android, musl, WebAssembly: nothing, or in the one library that every program links.
            &[]
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
        for (triple, fixed, shared) in [
            ("x86_64-unknown-linux-gnu", "libdittoffi.a", "libdittoffi.so"),
            ("aarch64-unknown-linux-musl", "libdittoffi.a", "libdittoffi.so"),
            ("armv7-unknown-linux-gnueabihf", "libdittoffi.a", "libdittoffi.so"),
            ("riscv64gc-unknown-linux-gnu", "libdittoffi.a", "libdittoffi.so"),
            ("x86_64-unknown-freebsd", "libdittoffi.a", "libdittoffi.so"),
            ("aarch64-linux-android", "libdittoffi.a", "libdittoffi.so"),
            ("armv7-linux-androideabi", "libdittoffi.a", "libdittoffi.so"),
            ("aarch64-apple-darwin", "libdittoffi.a", "libdittoffi.dylib"),
            ("aarch64-apple-ios-sim", "libdittoffi.a", "libdittoffi.dylib"),
            ("x86_64-pc-windows-gnu", "libdittoffi.a", "dittoffi.dll"),
            ("aarch64-pc-windows-gnullvm", "libdittoffi.a", "dittoffi.dll"),
            ("x86_64-pc-windows-msvc", "dittoffi.lib", "dittoffi.dll"),
        ] {
            assert_eq!(names(triple), (fixed, shared), "{triple}");
        }
        assert_eq!(names("wasm32-unknown-unknown").0, "libdittoffi.a");
    }

    #[test]
    fn linkers_get_what_they_ask_for() {
        let msvc = Target::new("x86_64-pc-windows-msvc");
        assert_eq!(msvc.import_library(), Some("dittoffi.dll.lib"));
        assert_eq!(
            (msvc.link_name(Linkage::Static), msvc.link_name(Linkage::Dynamic)),
            ("dittoffi", "dittoffi.dll")
        );
        let native = |triple| Target::new(triple).native_libraries();
        assert_eq!(native("armv7-unknown-linux-gnueabihf"), ["m", "pthread", "dl"]);
        assert_eq!(native("x86_64-unknown-freebsd"), ["m", "pthread"]);
        for triple in [
            "wasm32-unknown-unknown",
            "aarch64-linux-android",
            "aarch64-apple-ios",
            "x86_64-unknown-linux-musl",
        ] {
            assert!(native(triple).is_empty(), "{triple}");
            assert_eq!(Target::new(triple).import_library(), None);
        }
    }
}
