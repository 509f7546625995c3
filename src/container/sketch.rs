//! What config.json says of a container that runs, or would say if it were started now.

use oci_spec::runtime::Spec;

use super::conf;
use super::prepare;
use crate::api::Layout;
use crate::definition::{Definition, Source};
use crate::image::{Image, Images};
use crate::plan::bundle::{self, BundleFacts, IsolationFacts};
use crate::store::read_bounded;

/// Longest config.json, bytes.
const MAX_SPEC: u64 = 16 << 20;

/// What a container is made of, as far as it can be told without making it.
#[derive(Debug)]
pub struct Sketch {
    /// The bundle of the run; a plan without facts of the host if nothing runs. None: it cannot be planned.
    pub spec: Option<Spec>,
    /// It is that of a run.
    pub is_real: bool,
    /// Its image, as long as that is there.
    pub image: Option<Image>,
}

/// Reads the bundle of a container, or plans it as far as that takes no effects.
pub fn sketch(layout: &Layout, definition: &Definition) -> Sketch {
    let image = match &definition.source {
        Source::Image { id, .. } => Images::open(&layout.state())
            .and_then(|images| images.resolve(id))
            .ok(),
        Source::Rootfs { .. } => None,
    };
    let path = layout.bundle(&definition.id).join("config.json");
    let real = read_bounded(&path, MAX_SPEC).ok();
    let real: Option<Spec> = real.and_then(|text| serde_json::from_slice(&text).ok());
    let is_real = real.is_some();
    let planned = || {
        let facts = BundleFacts {
            image: image.as_ref().map(prepare::defaults).unwrap_or_default(),
            isolation: IsolationFacts {
                host_capabilities: prepare::host_capabilities().unwrap_or_default(),
                ..IsolationFacts::default()
            },
            conf: conf::load(layout, &definition.options.conf).unwrap_or_default(),
            ..BundleFacts::default()
        };
        Some(bundle::plan(definition, &facts).ok()?.spec)
    };
    Sketch {
        spec: real.or_else(planned),
        is_real,
        image,
    }
}
