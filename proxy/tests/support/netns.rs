//! Pods as network namespaces, on a bridge in a namespace of its own: the real redirect, without
//! a rule in the machine's own namespace. Nothing has a name or outlives the test: a namespace
//! lives as long as somebody holds its descriptor.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Instant;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{PATIENCE, Weir, program, skip};

/// The user that Weir runs as in a pod.
pub const PROXY_UID: u32 = 64102;
/// The user that applications run as.
pub const APPLICATION_UID: u32 = 1000;

/// A network namespace without a name.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<File>);

impl Namespace {
    /// A new one, with the loopback interface up.
    pub fn new() -> Self {
        let mut holder = Command::new("unshare")
            .args(["--net", "--", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let link = PathBuf::from(format!("/proc/{}/ns/net", holder.id()));
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let end = Instant::now() + PATIENCE;
        while std::fs::read_link(&link).unwrap() == own {
            assert!(Instant::now() < end, "unshare made no namespace");
            thread::yield_now();
        }
        let namespace = Self(Arc::new(File::open(&link).unwrap()));
        // The descriptor keeps the namespace from here on.
        drop(holder.stdin.take());
        holder.wait().unwrap();
        namespace.run("ip", &["link", "set", "lo", "up"]);
        namespace
    }

    /// Does `work` in a thread that has moved into the namespace. Sockets that it makes and
    /// programs that it starts belong to the namespace for good, wherever they are used.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(self.0.as_fd(), network).unwrap();
            work()
        };
        thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Starts a program inside.
    pub fn spawn(&self, command: &mut Command) -> Process {
        Process(self.enter(|| command.spawn()).unwrap())
    }

    /// Runs a program inside to its end.
    pub fn output(&self, command: &mut Command) -> Output {
        self.enter(|| command.stdin(Stdio::null()).output()).unwrap()
    }

    /// Runs a program that must succeed, and answers its standard output.
    pub fn run(&self, program: &str, args: &[&str]) -> String {
        let mut command = Command::new(program);
        let output = self.output(command.args(args));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {}: {said}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Hands a program that must succeed this text.
    pub fn feed(&self, program: &str, args: &[&str], text: &str) {
        let mut command = Command::new(program);
        let command = command.args(args).stdin(Stdio::piped());
        let mut child = self.enter(|| command.spawn()).unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{command:?} with:\n{text}");
    }

    /// Sets a kernel parameter of the namespace, named as a path under `/proc/sys`.
    pub fn sysctl(&self, name: &str, value: &str) {
        self.enter(|| std::fs::write(format!("/proc/sys/{name}"), value)).expect(name);
    }

    /// Connects from inside, as root: what an application of the pod does.
    pub fn try_connect(&self, to: SocketAddr) -> std::io::Result<TcpStream> {
        let stream = self.enter(|| TcpStream::connect_timeout(&to, PATIENCE))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The path by which other programs reach the namespace while the test runs.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

/// A program that is killed with the value.
pub struct Process(Child);

impl Process {
    /// The process's id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Kills it at once (`kill -9`).
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Waits for its end, and answers what it wrote to pipes that were not taken.
    pub fn output(mut self) -> Output {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let (stdout, stderr) = (self.0.stdout.take(), self.0.stderr.take());
        thread::scope(|scope| {
            scope.spawn(|| stdout.map(|mut from| from.read_to_end(&mut out)));
            stderr.map(|mut from| from.read_to_end(&mut err));
        });
        Output { status: self.0.wait().unwrap(), stdout: out, stderr: err }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Which addresses a pod has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// Both.
    Both,
    /// IPv4 alone: IPv6 is disabled.
    V4,
    /// IPv6 alone: no IPv4 address but loopback's.
    V6,
}

/// A bridge that pods hang on, in a namespace of its own.
pub struct Network {
    bridge: Namespace,
    /// The program, where every user may run it.
    bin: tempfile::TempDir,
    pods: AtomicU8,
}

impl Network {
    /// None, having said why, where namespaces cannot be made.
    pub fn new() -> Option<Self> {
        if !rustix::process::getuid().is_root() {
            skip("network namespaces with several users need root");
            return None;
        }
        for needed in ["ip", "nft", "unshare"] {
            program(needed)?;
        }
        let bin = tempfile::tempdir().unwrap();
        let everyone = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(bin.path(), everyone).unwrap();
        let (from, to) = (env!("CARGO_BIN_EXE_weir"), bin.path().join("weir"));
        if std::fs::hard_link(from, &to).is_err() {
            std::fs::copy(from, &to).unwrap();
        }
        let bridge = Namespace::new();
        bridge.run("ip", &["link", "add", "br0", "type", "bridge"]);
        bridge.run("ip", &["link", "set", "br0", "up"]);
        Some(Self { bridge, bin, pods: AtomicU8::new(0) })
    }

    /// A pod with addresses of both families.
    pub fn pod(&self) -> Pod {
        self.pod_with(Families::Both)
    }

    /// A pod with these addresses: 10.0.0.N and fd00::N.
    pub fn pod_with(&self, families: Families) -> Pod {
        let number = self.pods.fetch_add(1, Ordering::Relaxed) + 1;
        let pod = Pod {
            namespace: Namespace::new(),
            port: format!("pod{number}"),
            v4: Ipv4Addr::new(10, 0, 0, number),
            v6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number.into()),
            weir: self.bin.path().join("weir"),
        };
        if families == Families::V4 {
            pod.namespace.sysctl("net/ipv6/conf/all/disable_ipv6", "1");
        }
        let inside = pod.namespace.path();
        let veth = ["link", "add", &pod.port, "type", "veth", "peer", "name", "eth0", "netns"];
        self.bridge.run("ip", &[&veth[..], &[inside.as_str()]].concat());
        self.bridge.run("ip", &["link", "set", &pod.port, "master", "br0", "up"]);
        let mut addresses = String::from("link set eth0 up\n");
        if families != Families::V6 {
            addresses += &format!("addr add {}/24 dev eth0\n", pod.v4);
        }
        if families != Families::V4 {
            addresses += &format!("addr add {}/64 dev eth0 nodad\n", pod.v6);
        }
        pod.namespace.feed("ip", &["-batch", "-"], &addresses);
        pod
    }

    /// Takes the pod off the bridge without its noticing: what it sends and is sent is lost.
    pub fn cut(&self, pod: &Pod) {
        self.bridge.run("ip", &["link", "set", &pod.port, "nomaster"]);
    }

    /// Undoes `cut`.
    pub fn mend(&self, pod: &Pod) {
        self.bridge.run("ip", &["link", "set", &pod.port, "master", "br0"]);
    }
}

/// A network namespace on the bridge, in which an application and its sidecar live.
pub struct Pod {
    namespace: Namespace,
    /// The name of its link at the bridge.
    port: String,
    /// Its address.
    pub v4: Ipv4Addr,
    /// Its other address.
    pub v6: Ipv6Addr,
    weir: PathBuf,
}

impl std::ops::Deref for Pod {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.namespace
    }
}

impl Pod {
    /// A port of the pod, by IPv4.
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.v4), port)
    }

    /// A port of the pod, by IPv6.
    pub fn at6(&self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V6(self.v6), port)
    }

    /// The program, which every user may run.
    pub fn program(&self) -> &Path {
        &self.weir
    }

    /// `weir init` with these arguments, as root, whatever comes of it.
    pub fn try_init(&self, args: &[&str]) -> Output {
        self.output(Command::new(&self.weir).arg("init").args(args))
    }

    /// `weir init`, which must succeed. Answers its standard output.
    pub fn init(&self, args: &[&str]) -> String {
        let output = self.try_init(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "weir init {args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The transparent `weir run` with this policy text (none if empty), as the proxy's user and
    /// without capabilities. Answers once it is ready.
    pub fn weir(&self, mode: &str, policy: &str, args: &[&str]) -> Weir {
        let dir = tempfile::tempdir().unwrap();
        chown(dir.path(), Some(PROXY_UID), Some(PROXY_UID)).unwrap();
        let mut command = Command::new(&self.weir);
        command.uid(PROXY_UID).gid(PROXY_UID).current_dir(dir.path());
        command
            .args(["run", "--mode", mode, "--traffic-log"])
            .arg(dir.path().join("traffic.jsonl"));
        command.arg("--socket").arg(dir.path().join("weir.sock"));
        if !policy.is_empty() {
            std::fs::write(dir.path().join("policy.yaml"), policy).unwrap();
            command.arg("--policy").arg(dir.path().join("policy.yaml"));
        }
        command.args(args);
        let admin = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), weir::defaults::ADMIN_PORT);
        Weir::launch(command, dir, admin, Some(self.namespace.clone()))
    }

    /// `weir init`, then the transparent `weir run` in enforce mode.
    pub fn guarded(&self, policy: &str) -> Weir {
        self.init(&[]);
        self.weir("enforce", policy, &[])
    }

    /// A program of the pod's application: its user is not the proxy's. Start it with `spawn` or
    /// `output` of the pod.
    pub fn command(&self, program: impl Into<PathBuf>) -> Command {
        let mut command = Command::new(program.into());
        command.uid(APPLICATION_UID).gid(APPLICATION_UID);
        command
    }

    /// Listens at a port of every address of the pod.
    pub fn listen(&self, port: u16) -> TcpListener {
        self.enter(|| {
            TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
                .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))
        })
        .unwrap()
    }

    /// A server of the test's own: each connection is handed to `serve` in a thread of its own.
    pub fn serve(&self, port: u16, serve: impl Fn(TcpStream) + Send + Sync + 'static) {
        let listener = self.listen(port);
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let serve = serve.clone();
                thread::spawn(move || serve(stream));
            }
        });
    }

    /// Connects from the pod, which must succeed.
    pub fn connect(&self, to: SocketAddr) -> TcpStream {
        self.try_connect(to).unwrap_or_else(|error| panic!("{to}: {error}"))
    }

    /// Connects, and answers how that ends, from which nothing may come. Where the redirect takes
    /// a connection its handshake succeeds before anybody knows.
    pub fn refusal(&self, to: SocketAddr) -> ErrorKind {
        self.try_connect(to).map_or_else(|error| error.kind(), |mut stream| end_of(&mut stream))
    }

    /// Fills a table of the pod's own that loses, rejects or counts packets; `rules` are those of
    /// an input chain, before every other.
    pub fn fault(&self, rules: &str) {
        let chain = "type filter hook input priority -400;";
        let table = format!("table inet fault {{ chain input {{ {chain}\n{rules}\n}}\n}}\n");
        self.feed("nft", &["-f", "-"], &table);
    }

    /// Removes it.
    pub fn heal(&self) {
        self.run("nft", &["delete", "table", "inet", "fault"]);
    }
}

/// How a connection ends from which nothing more may come: `UnexpectedEof` in order.
pub fn end_of(stream: &mut TcpStream) -> ErrorKind {
    match stream.read(&mut [0; 64]) {
        Ok(0) => ErrorKind::UnexpectedEof,
        Ok(n) => panic!("{n} bytes came"),
        Err(error) => error.kind(),
    }
}
