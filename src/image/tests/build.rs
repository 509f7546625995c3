//! Tar streams and OCI layouts, made entry by entry.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::super::digest::Digest;

/// A tar stream under construction.
#[derive(Default, Clone)]
pub(super) struct Tar(pub(super) Vec<u8>);

/// A header with every field in our hands.
pub(super) struct Head<'a> {
    pub(super) kind: u8,
    pub(super) path: &'a str,
    pub(super) link: &'a str,
    pub(super) mode: u32,
    pub(super) owner: u32,
    pub(super) mtime: u64,
    pub(super) size: u64,
    pub(super) device: (u32, u32),
}

impl Default for Head<'_> {
    fn default() -> Self {
        Head {
            kind: b'0',
            path: "",
            link: "",
            mode: 0o644,
            owner: 0,
            mtime: 1_700_000_000,
            size: 0,
            device: (0, 0),
        }
    }
}

fn octal(field: &mut [u8], value: u64) {
    let text = format!("{value:0width$o}\0", width = field.len() - 1);
    field.copy_from_slice(text.as_bytes());
}

pub(super) fn checksum(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
    octal(&mut block[148..155], sum);
}

impl Head<'_> {
    pub(super) fn block(&self) -> [u8; 512] {
        let mut block = [0u8; 512];
        let name = &self.path.as_bytes()[..self.path.len().min(100)];
        block[..name.len()].copy_from_slice(name);
        octal(&mut block[100..108], self.mode.into());
        octal(&mut block[108..116], self.owner.into());
        octal(&mut block[116..124], self.owner.into());
        octal(&mut block[124..136], self.size);
        octal(&mut block[136..148], self.mtime);
        block[156] = self.kind;
        let link = &self.link.as_bytes()[..self.link.len().min(100)];
        block[157..157 + link.len()].copy_from_slice(link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        octal(&mut block[329..337], self.device.0.into());
        octal(&mut block[337..345], self.device.1.into());
        checksum(&mut block);
        block
    }
}

impl Tar {
    pub(super) fn new() -> Tar {
        Tar::default()
    }

    /// A header and its content, padded.
    pub(super) fn add(mut self, head: Head<'_>, content: &[u8]) -> Tar {
        self.0.extend(head.block());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(super) fn file(self, path: &str, content: &[u8]) -> Tar {
        let size = content.len() as u64;
        let head = Head {
            path,
            size,
            ..Head::default()
        };
        self.add(head, content)
    }

    pub(super) fn dir(self, path: &str, mode: u32) -> Tar {
        self.add(
            Head {
                kind: b'5',
                path,
                mode,
                ..Head::default()
            },
            b"",
        )
    }

    pub(super) fn symlink(self, path: &str, link: &str) -> Tar {
        self.add(
            Head {
                kind: b'2',
                path,
                link,
                mode: 0o777,
                ..Head::default()
            },
            b"",
        )
    }

    pub(super) fn link(self, path: &str, link: &str) -> Tar {
        self.add(
            Head {
                kind: b'1',
                path,
                link,
                ..Head::default()
            },
            b"",
        )
    }

    /// pax records for the next entry.
    pub(super) fn pax(self, records: &[(&str, &[u8])]) -> Tar {
        let mut data = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut len = rest + 1;
            while len != rest + len.to_string().len() {
                len = rest + len.to_string().len();
            }
            data.extend(format!("{len} {key}=").bytes());
            data.extend(*value);
            data.push(b'\n');
        }
        let size = data.len() as u64;
        self.add(
            Head {
                kind: b'x',
                path: "pax",
                size,
                ..Head::default()
            },
            &data,
        )
    }

    /// A GNU long name for the next entry.
    pub(super) fn long_name(self, name: &str) -> Tar {
        let data = [name.as_bytes(), b"\0"].concat();
        let size = data.len() as u64;
        self.add(
            Head {
                kind: b'L',
                path: "././@LongLink",
                size,
                ..Head::default()
            },
            &data,
        )
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";

/// A layer of a layout: the blob, its media type, and the diffID to claim.
#[derive(Clone)]
pub(super) struct Blob {
    pub(super) bytes: Vec<u8>,
    pub(super) media_type: String,
    pub(super) diff_id: Digest,
}

impl Blob {
    pub(super) fn plain(tar: Tar) -> Blob {
        let bytes = tar.end();
        let diff_id = Digest::of(&bytes);
        Blob {
            bytes,
            media_type: PLAIN.to_owned(),
            diff_id,
        }
    }
}

/// An OCI layout in memory: path and content.
pub(super) struct Oci {
    pub(super) files: Vec<(String, Vec<u8>)>,
    manifests: Vec<serde_json::Value>,
}

impl Oci {
    pub(super) fn new() -> Oci {
        let marker = br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec();
        Oci {
            files: vec![("oci-layout".to_owned(), marker)],
            manifests: Vec::new(),
        }
    }

    pub(super) fn put(&mut self, bytes: Vec<u8>, media_type: &str) -> serde_json::Value {
        let digest = Digest::of(&bytes);
        let size = bytes.len();
        self.files
            .push((format!("blobs/sha256/{}", digest.hex()), bytes));
        serde_json::json!({"mediaType": media_type, "digest": digest.to_string(), "size": size})
    }

    /// The descriptor of an image's manifest.
    pub(super) fn manifest(
        &mut self,
        layers: &[Blob],
        config: serde_json::Value,
    ) -> serde_json::Value {
        self.manifest_with(layers, config, serde_json::json!([]))
    }

    /// The same of an image with a history.
    pub(super) fn manifest_with(
        &mut self,
        layers: &[Blob],
        config: serde_json::Value,
        history: serde_json::Value,
    ) -> serde_json::Value {
        let diff_ids: Vec<_> = layers
            .iter()
            .map(|layer| layer.diff_id.to_string())
            .collect();
        let config = serde_json::json!({
            "created": "2026-01-02T03:04:05Z", "architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diff_ids}, "config": config,
            "history": history,
        });
        let config = serde_json::to_vec(&config).unwrap();
        let config = self.put(config, "application/vnd.oci.image.config.v1+json");
        let layers: Vec<_> = layers
            .iter()
            .map(|layer| self.put(layer.bytes.clone(), &layer.media_type))
            .collect();
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers,
        });
        self.put(serde_json::to_vec(&manifest).unwrap(), kind)
    }

    pub(super) fn list(&mut self, mut descriptor: serde_json::Value, name: &str) {
        if !name.is_empty() {
            descriptor["annotations"] =
                serde_json::json!({"org.opencontainers.image.ref.name": name});
        }
        self.manifests.push(descriptor);
    }

    /// An image with these layers under this name.
    pub(super) fn image(mut self, name: &str, layers: &[Blob]) -> Oci {
        let manifest = self.manifest(layers, serde_json::json!({"Cmd": ["sh"]}));
        self.list(manifest, name);
        self
    }

    pub(super) fn finish(mut self) -> Vec<(String, Vec<u8>)> {
        let index = serde_json::json!({"schemaVersion": 2, "manifests": self.manifests});
        self.files
            .push(("index.json".to_owned(), serde_json::to_vec(&index).unwrap()));
        self.files
    }

    pub(super) fn write_dir(self, to: &Path) {
        fs::create_dir_all(to.join("blobs/sha256")).unwrap();
        for (path, bytes) in self.finish() {
            fs::write(to.join(path), bytes).unwrap();
        }
    }

    /// The oci-archive.
    pub(super) fn archive(self) -> Vec<u8> {
        let add = |tar: Tar, (path, bytes): (String, Vec<u8>)| tar.file(&path, &bytes);
        self.finish().into_iter().fold(Tar::new(), add).end()
    }
}
