//! The servers behind the proxies: nginx with two files, redis-server with one key.

use std::{
    fs::{self, Permissions},
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::Duration,
};

use crate::{
    Error,
    child::{Program, find, free_port},
    workload::{self, Front},
};

/// The origins that could be started.
#[derive(Debug)]
pub struct Origins {
    http: Option<Origin>,
    redis: Option<Origin>,
}

#[derive(Debug)]
struct Origin {
    address: SocketAddr,
    program: Program,
}

/// Where the origins are to listen.
#[derive(Debug, Clone, Copy)]
pub struct Ground {
    /// At which address, or at all.
    pub bind: Ipv4Addr,
    /// By which the load reaches them.
    pub address: Ipv4Addr,
    /// nginx's port.
    pub http: u16,
    /// redis-server's port.
    pub redis: u16,
}

impl Ground {
    /// Free ports of the loopback.
    ///
    /// # Errors
    /// If there are none.
    pub fn loopback() -> Result<Self, Error> {
        let local = Ipv4Addr::LOCALHOST;
        Ok(Self { bind: local, address: local, http: free_port()?, redis: free_port()? })
    }
}

impl Origins {
    /// Starts what is installed at `ground`, with its files in `room`; what is not is added to `missing`. It must be reachable at the
    /// loopback too.
    ///
    /// # Errors
    /// If an installed one does not start.
    pub fn start(room: &Path, ground: Ground, missing: &mut Vec<String>) -> Result<Self, Error> {
        let mut start = |name: &str, start: fn(&Path, &Path, Ground) -> Result<Origin, Error>| {
            let Some(binary) = find(name) else {
                missing.push(format!("{name} is not installed: its traffic is not measured"));
                return Ok(None);
            };
            start(&binary, room, ground).map(Some)
        };
        Ok(Self { http: start("nginx", nginx)?, redis: start("redis-server", redis)? })
    }

    /// Where the origin of a front listens; none if it is not installed.
    pub fn address(&self, front: Front) -> Option<SocketAddr> {
        self.of(front).map(|origin| origin.address)
    }

    /// The process id of a front's origin; none if it is not installed.
    pub fn pid(&self, front: Front) -> Option<u32> {
        self.of(front).map(|origin| origin.program.pid())
    }

    /// Has redis-server, if there is one, keep the value at these keys too.
    ///
    /// # Errors
    /// If it does not take them.
    pub fn keep(&self, keys: &[String]) -> Result<(), Error> {
        let Some(server) = self.address(Front::Redis) else { return Ok(()) };
        put(server, keys)
    }

    fn of(&self, front: Front) -> Option<&Origin> {
        match front {
            Front::Http => self.http.as_ref(),
            Front::Redis => self.redis.as_ref(),
            Front::Http2 | Front::Grpc => None,
        }
    }
}

fn nginx(binary: &Path, room: &Path, ground: Ground) -> Result<Origin, Error> {
    let prefix = room.join("nginx");
    place(&prefix.join("www").join(&workload::SMALL_PATH[1..]), &workload::small_file())?;
    place(&prefix.join("www").join(&workload::LARGE_PATH[1..]), &workload::large_file())?;
    // As root the worker would become another user, which cannot read a private directory.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let configuration = include_str!("../nginx/nginx.conf")
        .replace("@LISTEN@", &format!("{}:{}", ground.bind, ground.http))
        .replace("@USER@", user);
    let file = prefix.join("nginx.conf");
    place(&file, configuration.as_bytes())?;
    let mut command = Command::new(binary);
    command.arg("-p").arg(&prefix).arg("-c").arg(&file).args(["-e", "stderr"]);
    serve("nginx", room, ground, ground.http, &mut command)
}

fn redis(binary: &Path, room: &Path, ground: Ground) -> Result<Origin, Error> {
    let (port, bind) = (ground.redis.to_string(), ground.bind.to_string());
    let mut command = Command::new(binary);
    // Whoever reaches the address may use it: it is the loopback's or a namespace's.
    command.args(["--port", &port, "--bind", &bind, "--protected-mode", "no", "--save", ""]);
    command.args(["--appendonly", "no", "--maxclients", "9000", "--dir"]).arg(room);
    let origin = serve("redis-server", room, ground, ground.redis, &mut command)?;
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, ground.redis));
    put(local, &[workload::KEY.to_owned()])?;
    Ok(origin)
}

/// Has a Redis server keep the value at these keys.
fn put(server: SocketAddr, keys: &[String]) -> Result<(), Error> {
    let reply = ask(server, &workload::redis_set(keys)).map_err(Error::io("MSET"))?;
    if reply != b"+OK\r\n" {
        let reply = String::from_utf8_lossy(&reply);
        return Err(Error::Program(format!("redis-server answered {reply:?} to MSET")));
    }
    Ok(())
}

fn serve(
    name: &str,
    room: &Path,
    ground: Ground,
    port: u16,
    command: &mut Command,
) -> Result<Origin, Error> {
    let mut program = Program::start(name, room, None, command)?;
    program.await_listening(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(Origin { address: SocketAddr::from((ground.address, port)), program })
}

/// Sends `request` on a connection of its own; the first bytes of the answer.
pub(crate) fn ask(address: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(request)?;
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer)?;
    answer.truncate(read);
    Ok(answer)
}

/// Sends `request` on a connection of its own; everything until the server closes. A second of silence is an error.
pub(crate) fn ask_whole(address: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn place(file: &Path, content: &[u8]) -> Result<(), Error> {
    let written = file
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(file, content))
        .and_then(|()| fs::set_permissions(file, Permissions::from_mode(0o644)));
    written.map_err(Error::io(file.display().to_string()))
}
