//! What `release` and `resume` share: taking the driver's lock, driving to the end with the
//! socket open, and what the end means for the exit status.

use holdpoint_core::event::Ending;

use crate::adapter::clock::Clock;
use crate::adapter::lock::{DriverLock, Holder, LockError};
use crate::daemon::{Conductor, Drive, Handle, StopSignals};
use crate::exit_code::ExitCode;
use crate::http::Server;
use crate::message::{self, Problem};
use crate::settings::Settings;

/// Takes the right to drive the project.
pub(super) fn lock(settings: &Settings, command: String) -> Result<DriverLock, Problem> {
    let holder = Holder {
        who: settings.actor.clone(),
        process_id: std::process::id(),
        since: Clock::real().now(),
        command,
    };
    DriverLock::acquire(&settings.state_dir, &holder).map_err(|error| {
        let exit = match &error {
            LockError::Held { .. } | LockError::File { .. } => ExitCode::Refused,
        };
        Problem::from(error).exit(exit)
    })
}

/// Drives until the end, with the socket open.
pub(super) async fn drive(
    settings: &Settings,
    conductor: Conductor,
    handle: Handle,
    stop: &mut StopSignals,
) -> Result<ExitCode, Problem> {
    let server = Server::start(&settings.socket(), handle)?;
    let driven = Box::pin(conductor.drive(stop)).await;
    let driven = driven.map_err(|error| {
        Problem::from(error)
            .hint("then go on with `holdpoint resume`: everything that was recorded is kept")
    })?;
    if driven == Drive::Left {
        // whoever presses Ctrl-C twice does not wait for a client that is still connected
        message::tell("left at once; go on with `holdpoint resume`\n");
        return Ok(ExitCode::Interrupted);
    }
    server.stop().await;
    Ok(match driven {
        Drive::Ended(Ending::Released) | Drive::Idle => ExitCode::Done,
        Drive::Ended(Ending::RolledBack) => ExitCode::RolledBack,
        Drive::Ended(Ending::Refused { .. }) => ExitCode::Refused,
        Drive::Stopped | Drive::Left => {
            message::tell("stopped at a safe point; go on with `holdpoint resume`\n");
            ExitCode::Resumable
        }
    })
}
