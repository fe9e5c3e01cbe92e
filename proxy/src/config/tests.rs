use std::io::Write as _;

use super::*;
use crate::config::values::{Mode as ModeName, Ports, SocketPath, Span};

fn flags() -> Options {
    Options { forward: vec!["127.0.0.1:1=127.0.0.1:2".parse().unwrap()], ..Options::default() }
}

fn load(flags: Options, file: Option<&str>) -> Result<Settings, Error> {
    let mut temporary = tempfile::NamedTempFile::new().unwrap();
    temporary.write_all(file.unwrap_or_default().as_bytes()).unwrap();
    Source { flags, file: file.map(|_| temporary.path().to_owned()) }.load()
}

#[test]
fn defaults_are_those_of_the_design() {
    let settings = load(flags(), None).unwrap();
    assert_eq!(settings.mode, Mode::Learn);
    assert_eq!(settings.admin, Admin::At("0.0.0.0:15902".parse().unwrap()));
    assert_eq!(settings.socket, None);
    assert_eq!(settings.traffic_log, Some(Target::Stdout));
    assert_eq!(settings.grace, Duration::from_secs(30));
    assert_eq!(settings.limits, Limits::default());
    assert!((1..=4).contains(&settings.workers));
}

#[test]
fn a_flag_wins_over_the_file() {
    let file = "mode: enforce\ngrace: 5s\nadmin: 127.0.0.1:9\nforward: [127.0.0.1:3=127.0.0.1:4]\n\
                limits: {linger: 3s, head-bytes: 2KiB}\n";
    let mut flags = flags();
    flags.mode = Some(ModeName::Monitor);
    flags.admin = Some(Admin::Off);
    flags.limits = vec!["linger=4s".parse().unwrap()];
    let settings = load(flags.clone(), Some(file)).unwrap();
    assert_eq!(settings.mode, Mode::Monitor);
    assert_eq!(settings.admin, Admin::Off);
    assert_eq!(settings.intake.forwards(), flags.forward);
    assert_eq!(settings.grace, Duration::from_secs(5));
    assert_eq!(settings.limits.linger, Duration::from_secs(4));
    assert_eq!(settings.limits.head_bytes, 2048);
}

#[test]
fn paths_in_the_file_are_relative_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weir.yaml");
    std::fs::write(&path, "policy: [p.yaml, /abs.yaml]\ntraffic-log: t.log\nprofile: l.yaml\n")
        .unwrap();
    let settings = Source { flags: flags(), file: Some(path) }.load().unwrap();
    assert_eq!(settings.policies, [directory.path().join("p.yaml"), "/abs.yaml".into()]);
    assert_eq!(settings.traffic_log, Some(Target::File(directory.path().join("t.log"))));
    let at = |name| directory.path().join(name);
    let files = ProfileFiles { path: at("l.yaml"), key: at("l.yaml.key") };
    assert_eq!(settings.profile, Some(files));
}

#[test]
fn an_error_in_the_file_has_its_place_and_line() {
    let error = load(flags(), Some("mode: learn\ngrace: soon\n")).unwrap_err();
    let Error::File { line, column, message, source_line, .. } = error else { panic!("{error}") };
    assert_eq!((line, column), (2, 8));
    assert!(message.contains("`soon` is not a duration"), "{message}");
    assert_eq!(source_line, "grace: soon");
}

#[test]
fn contradictions_are_refused() {
    let refused = |forwards: &[&str], change: fn(&mut Options)| {
        let forward = forwards.iter().map(|text| text.parse().unwrap()).collect();
        let mut flags = Options { forward, ..Options::default() };
        change(&mut flags);
        load(flags, None).unwrap_err().to_string()
    };
    let twice = ["127.0.0.1:1=127.0.0.1:2", "127.0.0.1:1=127.0.0.1:3"];
    assert!(refused(&twice, |_| ()).contains("two forwards listen at 127.0.0.1:1"));
    assert!(refused(&["127.0.0.1:1=127.0.0.1:1"], |_| ()).contains("leads to itself"));
    let admin = |flags: &mut Options| flags.admin = Some("127.0.0.1:1".parse().unwrap());
    assert!(refused(&twice[..1], admin).contains("both listen"));
    let admin = |flags: &mut Options| flags.admin = Some(Admin::Port(1));
    assert!(refused(&twice[..1], admin).contains("both listen"));
    let port = |flags: &mut Options| flags.inbound_port = NonZeroU16::new(9);
    assert!(refused(&twice[..1], port).contains("`inbound-port` is for"));
    let port = |flags: &mut Options| flags.outbound_port = NonZeroU16::new(9);
    assert!(refused(&twice[..1], port).contains("`outbound-port` is for"));
    let same = |flags: &mut Options| flags.inbound_port = NonZeroU16::new(15901);
    assert!(refused(&[], same).contains("--inbound-port and --outbound-port are both 15901"));
    let admin = |flags: &mut Options| flags.admin = Some("127.0.0.1:15906".parse().unwrap());
    assert!(refused(&[], admin).contains("--inbound-port and --admin are both 15906"));
    let any = |flags: &mut Options| flags.admin = Some(Admin::Port(0));
    assert!(refused(&[], any).contains("--admin is 0"));
    let probed = |flags: &mut Options| flags.probe_ports = Some("80,15902".parse().unwrap());
    assert!(refused(&[], probed).contains("--probe-ports has 15902"));
    assert!(refused(&twice[..1], |flags| flags.workers = Some(0)).contains("workers"));
    let grace = |flags: &mut Options| flags.grace = Some(Span(Duration::from_hours(48)));
    assert!(refused(&twice[..1], grace).contains("grace"));
}

#[test]
fn without_a_forward_the_sidecar_is_transparent() {
    let settings = load(Options::default(), None).unwrap();
    let ports = RedirectPorts { inbound: 15906, outbound: 15901 };
    assert_eq!(settings.intake, Intake::Redirect(ports));
    assert_eq!(settings.admin, Admin::Port(15902));
    let socket = ControlSocket { path: "/run/weir/weir.sock".into(), asked: false };
    assert_eq!(settings.socket, Some(socket));
    assert!(settings.probe_ports.is_empty());
    let flags = Options {
        inbound_port: NonZeroU16::new(1),
        outbound_port: NonZeroU16::new(2),
        socket: Some(SocketPath(None)),
        admin: Some(Admin::Off),
        probe_ports: Some("8080,15902".parse::<Ports>().unwrap()),
        ..Options::default()
    };
    let settings = load(flags, None).unwrap();
    assert_eq!(settings.intake.redirect(), Some(RedirectPorts { inbound: 1, outbound: 2 }));
    assert_eq!(settings.socket, None);
    assert_eq!(settings.probe_ports, [8080, 15902]);
}

#[test]
fn memory_that_was_said_is_the_budget() {
    let mut flags = flags();
    flags.memory = Some("64MiB".parse().unwrap());
    assert_eq!(load(flags, None).unwrap().memory_now(), Some(64 << 20));
}

#[test]
fn a_reload_reads_the_file_again_under_the_same_flags() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weir.yaml");
    std::fs::write(&path, "mode: learn\nworkers: 2\n").unwrap();
    let settings = Source { flags: flags(), file: Some(path.clone()) }.load().unwrap();
    std::fs::write(&path, "mode: enforce\ngrace: 3s\nworkers: 3\n").unwrap();
    let new = settings.reload().unwrap();
    assert_eq!(settings.needs_restart(&new), ["workers"]);
    assert_eq!(settings.watched(), [path]);
    let mut applied = settings.clone();
    applied.apply(&new);
    assert_eq!((applied.mode, applied.grace), (Mode::Enforce, Duration::from_secs(3)));
    assert_eq!(applied.workers, settings.workers);
}

#[test]
fn forwards_to_free_ports_do_not_collide() {
    let forward = ["127.0.0.1:0=127.0.0.1:2"; 2].map(|text| text.parse().unwrap()).to_vec();
    assert!(load(Options { forward, ..Options::default() }, None).is_ok());
}

#[test]
fn settings_that_are_shown_can_be_read_again() {
    let file = "mode: enforce\ngrace: 90s\nadmin: off\nlog-allowed: sample:7\nmemory: 64MiB\n\
                max-connections: 9\nlimits: {linger: 3s}\nsocket: /s\nredis-commands: /c\n\
                profile: /p\n";
    let settings = load(flags(), Some(file)).unwrap();
    let mut shown = settings.to_json();
    shown.as_object_mut().unwrap().remove("config");
    let again = load(Options::default(), Some(&shown.to_string())).unwrap();
    assert_eq!(Settings { source: settings.source.clone(), ..again }, settings);

    let file = "inbound-port: 7\nprobe-ports: [80]\nsocket: off\nadmin: '15902'\n";
    let settings = load(Options::default(), Some(file)).unwrap();
    let mut shown = settings.to_json();
    shown.as_object_mut().unwrap().remove("config");
    let again = load(Options::default(), Some(&shown.to_string())).unwrap();
    assert_eq!(Settings { source: settings.source.clone(), ..again }, settings);
}

#[test]
fn a_profile_key_goes_with_a_profile_of_its_own_name() {
    for (file, expected) in [
        ("profile-key: /k\n", "is for a `profile`"),
        ("profile: /k\nprofile-key: /k\n", "one file"),
    ] {
        let error = load(flags(), Some(file)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let old = load(flags(), Some("profile: /p\n")).unwrap();
    let new = load(flags(), Some("profile: /p\nprofile-key: /k\n")).unwrap();
    assert_eq!(old.needs_restart(&new), ["profile-key"]);
    assert_eq!(load(flags(), None).unwrap().needs_restart(&new), ["profile", "profile-key"]);
}
