//! What files would be if the file system could have been told: see `unpack::TrueStat`.

use super::super::report::TrueStat;
use crate::base::{Doing, Result, fsx};
use crate::store::Layer;
use crate::store::layers::unescape;
use std::collections::HashMap;

/// True owners and types by name, relative to the root.
#[derive(Debug, Default)]
pub struct Truth(HashMap<Vec<u8>, TrueStat>);

impl Truth {
    /// Reads what was remembered beside these layers, lowest first. A name that several know is the topmost layer's.
    pub fn of(layers: &[Layer]) -> Result<Self> {
        let mut truth = HashMap::new();
        for layer in layers.iter().filter(|l| l.meta.has_true_stats) {
            let path = layer.fs.with_file_name("owners.json");
            let stats: Vec<TrueStat> =
                serde_json::from_slice(&fsx::read(&path)?).doing(|| format!("read `{}`", path.display()))?;
            for stat in stats {
                truth.insert(unescape(&stat.path)?, stat);
            }
        }
        Ok(Self(truth))
    }

    /// What is known of `name`, if it is still such a file: `kind` is its type on disk, in `TrueStat`'s letters.
    pub(super) fn get(&self, name: &[u8], kind: char, empty: bool) -> Option<&TrueStat> {
        let stat = self.0.get(name)?;
        let device = matches!(stat.kind, 'c' | 'b');
        // An empty file stands for a device.
        (stat.kind == kind || (device && kind == 'f' && empty)).then_some(stat)
    }
}
