//! Kinds of files, by their suffix.

use std::path::Path;

/// What a file is to make.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// `.container`
    Container,
    /// `.volume`
    Volume,
    /// `.network`
    Network,
    /// `.pod`
    Pod,
    /// `.image`
    Image,
    /// `.kube`
    Kube,
    /// `.build`
    Build,
    /// `.artifact`
    Artifact,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Container,
        Self::Volume,
        Self::Network,
        Self::Pod,
        Self::Image,
        Self::Kube,
        Self::Build,
        Self::Artifact,
    ];

    /// The suffix of the files, without its dot.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Volume => "volume",
            Self::Network => "network",
            Self::Pod => "pod",
            Self::Image => "image",
            Self::Kube => "kube",
            Self::Build => "build",
            Self::Artifact => "artifact",
        }
    }

    /// The name of the section that the file must have.
    pub fn section(self) -> &'static str {
        match self {
            Self::Container => "Container",
            Self::Volume => "Volume",
            Self::Network => "Network",
            Self::Pod => "Pod",
            Self::Image => "Image",
            Self::Kube => "Kube",
            Self::Build => "Build",
            Self::Artifact => "Artifact",
        }
    }

    /// What Quadlet puts between the file's name and `.service`.
    pub fn unit_suffix(self) -> &'static str {
        match self {
            Self::Container | Self::Kube => "",
            Self::Volume => "-volume",
            Self::Network => "-network",
            Self::Pod => "-pod",
            Self::Image => "-image",
            Self::Build => "-build",
            Self::Artifact => "-artifact",
        }
    }

    /// The kind of a file, by its name.
    pub fn of(path: &Path) -> Option<Self> {
        let suffix = path.extension()?.to_str()?;
        path.file_stem()?;
        Self::ALL.into_iter().find(|kind| kind.suffix() == suffix)
    }
}
