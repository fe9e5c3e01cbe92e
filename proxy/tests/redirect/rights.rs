//! Which rights `weir init` needs, and what it says without them.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scene::told;
use crate::support::netns::Namespace;
use crate::support::{program, skip};

/// A user without any right.
const NOBODY: &str = "65534";

/// This test program, to be run as a plain user that is root in a user namespace of its own. None,
/// having said why, where the machine does not allow that.
pub(crate) fn in_user_namespace(dir: &Path) -> Option<Command> {
    program("unshare")?;
    std::fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
    let tests = copy(&std::env::current_exe().unwrap(), dir, "tests");
    let mut command = plain_user()?;
    command.args(["unshare", "--map-root-user", "--net", "--mount"]);
    let mut probe = plain_user()?;
    let allowed = probe.args(["unshare", "--map-root-user", "--net", "true"]).status();
    if !allowed.unwrap().success() {
        skip("a plain user may make no user namespaces here");
        return None;
    }
    command.arg(tests).current_dir("/");
    Some(command)
}

/// A command line that a plain user runs, without its program.
fn plain_user() -> Option<Command> {
    if !rustix::process::getuid().is_root() {
        return Some(Command::new("env"));
    }
    let mut command = Command::new(program("setpriv")?);
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
    Some(command)
}

fn copy(from: &Path, dir: &Path, name: &str) -> PathBuf {
    let to = dir.join(name);
    std::fs::copy(from, &to).unwrap();
    std::fs::set_permissions(&to, Permissions::from_mode(0o755)).unwrap();
    to
}

/// A namespace, and the program where every user may run it, with this file capability.
struct Scene {
    namespace: Namespace,
    weir: PathBuf,
    _dir: tempfile::TempDir,
}

impl Scene {
    fn new(capability: Option<&str>) -> Option<Self> {
        if !rustix::process::getuid().is_root() {
            skip("giving a file a capability needs root");
            return None;
        }
        let setcap = program("setcap")?;
        program("setpriv")?;
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let weir = copy(Path::new(env!("CARGO_BIN_EXE_weir")), dir.path(), "weir");
        if let Some(capability) = capability {
            let set = Command::new(setcap).arg(capability).arg(&weir).status().unwrap();
            assert!(set.success());
        }
        Some(Self { namespace: Namespace::new(), weir, _dir: dir })
    }

    /// Runs it as a plain user: exit status, standard output, standard error.
    fn run(&self, privileges: &[&str], args: &[&str]) -> (i32, String, String) {
        let mut command = plain_user().unwrap();
        command.args(privileges).arg(&self.weir).args(args);
        told(self.namespace.output(&mut command))
    }
}

#[test]
fn a_file_capability_is_enough_that_permits_and_does_not_force() {
    let Some(scene) = Scene::new(Some("cap_net_admin=p")) else { return };
    let (status, out, err) = scene.run(&[], &["init"]);
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    assert!(out.starts_with("redirected: inbound to port 15906, outbound to port 15901"), "{out}");
    assert!(scene.namespace.run("nft", &["list", "tables"]).contains("inet weir"));
    assert_eq!(scene.run(&[], &["init", "--verify"]).0, 0);
    assert_eq!(scene.run(&[], &["init", "--remove"]).1, "removed the redirect\n");
    assert_eq!(scene.namespace.run("nft", &["list", "tables"]), "");
}

#[test]
fn the_same_file_starts_where_nobody_may_have_the_capability() {
    let Some(scene) = Scene::new(Some("cap_net_admin=p")) else { return };
    let bounded = ["--bounding-set", "-net_admin"];
    assert_eq!(scene.run(&bounded, &["--version"]).0, 0);
    assert_eq!(scene.run(&bounded, &["init", "--print"]).0, 0);
    let (status, out, err) = scene.run(&bounded, &["init"]);
    assert_eq!((status, out.as_str()), (1, ""));
    assert!(err.contains("CAP_NET_ADMIN is missing"), "{err}");
    // The other way of giving it is one by which the file does not start: this test can fail.
    let Some(forced) = Scene::new(Some("cap_net_admin=ep")) else { return };
    assert_ne!(forced.run(&bounded, &["--version"]).0, 0);
}

#[test]
fn where_a_files_capability_is_not_given_this_is_said() {
    let Some(scene) = Scene::new(Some("cap_net_admin=p")) else { return };
    const HINT: &str = "no `allowPrivilegeEscalation: false`, which is set here";
    // In a step of its own: setpriv keeps capabilities until it has started the next program.
    let (status, _, err) = scene.run(&["setpriv", "--no-new-privs"], &["init"]);
    assert!(status == 1 && err.contains(HINT), "{err}");
    let (status, _, err) = scene.run(&["--bounding-set", "-net_admin"], &["init"]);
    assert!(status == 1 && !err.contains(HINT), "{err}");
}

#[test]
fn without_the_right_it_is_said_what_is_missing_and_how_to_give_it() {
    let Some(scene) = Scene::new(None) else { return };
    for args in [&["init"][..], &["init", "--verify"], &["init", "--remove"]] {
        let (status, out, err) = scene.run(&[], args);
        assert_eq!((status, out.as_str()), (1, ""), "{args:?}");
        let path = scene.weir.display();
        for part in [
            "weir: error: no right to change or list the rules of this network namespace",
            "CAP_NET_ADMIN is missing",
            "securityContext: {capabilities: {add: [NET_ADMIN]}}",
            &format!("setcap cap_net_admin=p {path}"),
        ] {
            assert!(err.contains(part), "{args:?}: {part}: {err}");
        }
    }
    assert_eq!(scene.run(&[], &["init", "--print"]).0, 0);
}
