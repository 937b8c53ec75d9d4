//! What is fed: each target knows its seeds, how to vary them, and what must hold whatever comes.

mod api_bodies;
mod fly_toml;
mod holdpoint_toml;
mod image_unpack;
mod smoke_toml;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::mutate::Mutator;

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Target {
    FlyToml,
    HoldpointToml,
    SmokeToml,
    ImageUnpack,
    ApiBodies,
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::FlyToml => "fly_toml",
            Self::HoldpointToml => "holdpoint_toml",
            Self::SmokeToml => "smoke_toml",
            Self::ImageUnpack => "image_unpack",
            Self::ApiBodies => "api_bodies",
        })
    }
}

/// A target with what it needs to try inputs.
pub(crate) enum Bench {
    FlyToml,
    HoldpointToml,
    SmokeToml,
    ImageUnpack(image_unpack::Store),
    ApiBodies(Box<api_bodies::World>),
}

impl Target {
    pub(crate) fn bench(self) -> io::Result<Bench> {
        Ok(match self {
            Self::FlyToml => Bench::FlyToml,
            Self::HoldpointToml => Bench::HoldpointToml,
            Self::SmokeToml => Bench::SmokeToml,
            Self::ImageUnpack => Bench::ImageUnpack(image_unpack::Store::new()?),
            Self::ApiBodies => Bench::ApiBodies(Box::new(api_bodies::World::new()?)),
        })
    }

    /// Good inputs, in a fixed order.
    pub(crate) fn seeds(self) -> io::Result<Vec<Vec<u8>>> {
        if matches!(self, Self::ImageUnpack) {
            return image_unpack::seeds();
        }
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = files_in(&here.join("corpus").join(self.to_string()))?;
        // The files of the examples are seeds too.
        let beginning = match self {
            Self::FlyToml => "fly.",
            Self::HoldpointToml => "holdpoint.toml",
            Self::SmokeToml => "",
            Self::ImageUnpack | Self::ApiBodies => return files.iter().map(fs::read).collect(),
        };
        for example in files_in(&here.with_file_name("examples"))? {
            let folder = match self {
                Self::SmokeToml => example.join("smoke"),
                Self::FlyToml | Self::HoldpointToml | Self::ImageUnpack | Self::ApiBodies => {
                    example
                }
            };
            let of_example = files_in(&folder)?;
            let is_seed = |file: &PathBuf| {
                file.file_name().is_some_and(|it| it.to_string_lossy().starts_with(beginning))
            };
            files.extend(of_example.into_iter().filter(is_seed));
        }
        files.iter().map(fs::read).collect()
    }

    pub(crate) fn varied(self, mutator: &mut Mutator, seeds: &[Vec<u8>]) -> Vec<u8> {
        match self {
            Self::FlyToml | Self::HoldpointToml | Self::SmokeToml => mutator.text(seeds),
            Self::ImageUnpack => image_unpack::varied(mutator, seeds),
            Self::ApiBodies => api_bodies::varied(mutator, seeds),
        }
    }
}

impl Bench {
    /// Panics where something does not hold.
    pub(crate) fn attempt(&mut self, input: &[u8]) {
        match self {
            Self::FlyToml => fly_toml::attempt(&String::from_utf8_lossy(input)),
            Self::HoldpointToml => holdpoint_toml::attempt(&String::from_utf8_lossy(input)),
            Self::SmokeToml => smoke_toml::attempt(&String::from_utf8_lossy(input)),
            Self::ImageUnpack(store) => store.attempt(input),
            Self::ApiBodies(world) => world.attempt(input),
        }
    }
}

fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}
