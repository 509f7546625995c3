//! From the layout that was fetched into the store.

use super::Note;
use super::stage::Stage;
use crate::image::error::{Result, refused};
use crate::image::layout::Layout;
use crate::image::load::Load;
use crate::image::local::Images;

impl Images {
    /// Takes what was fetched into the store under this name; all or nothing. Gives the image's id.
    pub(super) fn take_over(
        &self,
        stage: &Stage,
        name: Option<String>,
        what: &str,
        report: &mut dyn FnMut(Note),
    ) -> Result<String> {
        let _staging = self.lock_staging()?;
        let layout = Layout::open_fetched(&stage.layout(), what.to_owned())?;
        let mut told = |progress| report(Note::Unpacking(progress));
        let mut load = Load::new(self, &mut told)?;
        let mut candidates = layout.images()?;
        let (Some(candidate), true) = (candidates.pop(), candidates.is_empty()) else {
            return refused(what, "skopeo has fetched more than one image");
        };
        let (mut line, id) = load.image(&layout, candidate)?;
        line.name = name;
        load.commit(vec![line])?;
        Ok(id)
    }
}
