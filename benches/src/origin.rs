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
    _program: Program,
}

impl Origins {
    /// Starts what is installed, with its files in `room`; what is not is added to `missing`.
    ///
    /// # Errors
    /// If an installed one does not start.
    pub fn start(room: &Path, missing: &mut Vec<String>) -> Result<Self, Error> {
        let mut start = |name: &str, start: fn(&Path, &Path) -> Result<Origin, Error>| {
            let Some(binary) = find(name) else {
                missing.push(format!("{name} is not installed: its traffic is not measured"));
                return Ok(None);
            };
            start(&binary, room).map(Some)
        };
        Ok(Self { http: start("nginx", nginx)?, redis: start("redis-server", redis)? })
    }

    /// Where the origin of a front listens; none if it is not installed.
    pub fn address(&self, front: Front) -> Option<SocketAddr> {
        match front {
            Front::Http => self.http.as_ref().map(|origin| origin.address),
            Front::Redis => self.redis.as_ref().map(|origin| origin.address),
        }
    }
}

fn nginx(binary: &Path, room: &Path) -> Result<Origin, Error> {
    let prefix = room.join("nginx");
    place(&prefix.join("www").join(&workload::SMALL_PATH[1..]), &workload::small_file())?;
    place(&prefix.join("www").join(&workload::LARGE_PATH[1..]), &workload::large_file())?;
    let port = free_port()?;
    // As root the worker would become another user, which cannot read a private directory.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let configuration = include_str!("../nginx/nginx.conf")
        .replace("@PORT@", &port.to_string())
        .replace("@USER@", user);
    let file = prefix.join("nginx.conf");
    place(&file, configuration.as_bytes())?;
    let mut command = Command::new(binary);
    command.arg("-p").arg(&prefix).arg("-c").arg(&file).args(["-e", "stderr"]);
    serve("nginx", room, port, &mut command)
}

fn redis(binary: &Path, room: &Path) -> Result<Origin, Error> {
    let port = free_port()?;
    let mut command = Command::new(binary);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    command.args(["--appendonly", "no", "--maxclients", "9000", "--dir"]).arg(room);
    let origin = serve("redis-server", room, port, &mut command)?;
    let reply = ask(origin.address, &workload::redis_set()).map_err(Error::io("SET"))?;
    if reply != b"+OK\r\n" {
        let reply = String::from_utf8_lossy(&reply);
        return Err(Error::Program(format!("redis-server answered {reply:?} to SET")));
    }
    Ok(origin)
}

fn serve(name: &str, room: &Path, port: u16, command: &mut Command) -> Result<Origin, Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut program = Program::start(name, room, None, command)?;
    program.await_listening(address)?;
    Ok(Origin { address, _program: program })
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

fn place(file: &Path, content: &[u8]) -> Result<(), Error> {
    let written = file
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(file, content))
        .and_then(|()| fs::set_permissions(file, Permissions::from_mode(0o644)));
    written.map_err(Error::io(file.display().to_string()))
}
