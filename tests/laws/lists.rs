//! The lists that the laws go by.

/// Impure files, and why.
pub const IMPURE: &[(&str, &str)] = &[
    ("aside.rs", "moves damaged files aside"),
    ("cli/ctl.rs", "talks to the node at its socket"),
    (
        "cli/ctl/act.rs",
        "sends commands and waits for what comes of them",
    ),
    ("cli/ctl/client.rs", "the socket of ctl"),
    ("cli/ctl/terminal.rs", "asks the terminal for its width"),
    (
        "cli/ctl/watch.rs",
        "waits for the node, the terminal and Ctrl-C",
    ),
    ("cli/demo/chime.rs", "writes a sound file"),
    ("cli/demo/mod.rs", "starts processes and waits for them"),
    ("cli/demo/music.rs", "writes the demo's music"),
    ("cli/demo/node.rs", "a process of the demo"),
    ("cli/demo/tunes.rs", "makes samples with rodio's generators"),
    (
        "cli/doctor/aside.rs",
        "runs the doctor's programs aside, with a time limit",
    ),
    ("cli/doctor/look/files.rs", "looks at files"),
    ("cli/doctor/look/machine.rs", "looks at the machine"),
    (
        "cli/doctor/look/mod.rs",
        "runs the looks side by side, with a deadline",
    ),
    ("cli/doctor/look/multicast.rs", "sends and hears multicast"),
    ("cli/doctor/look/network.rs", "looks at the network"),
    (
        "cli/doctor/look/node.rs",
        "asks the node and the service manager",
    ),
    ("cli/doctor/look/runner.rs", "looks at who runs the service"),
    ("cli/doctor/look/sound.rs", "tries the sound device"),
    ("cli/doctor/mod.rs", "looks, then prints"),
    (
        "cli/join.rs",
        "connects to a member, writes the key, waits for the node",
    ),
    ("cli/join/place.rs", "writes the key file"),
    ("cli/manual.rs", "writes man pages"),
    ("cli/mod.rs", "reads arguments and prints"),
    ("cli/pair.rs", "listens for newcomers while a code lives"),
    ("cli/replace.rs", "replaces a file of a person's"),
    ("cli/say.rs", "prints"),
    ("cli/setup/ask.rs", "reads answers from the terminal"),
    ("cli/setup/key.rs", "writes the key file"),
    ("cli/setup/mod.rs", "looks at the machine and changes it"),
    (
        "cli/setup/reach.rs",
        "tries as the service's user what it may read",
    ),
    ("cli/setup/service.rs", "starts the service"),
    ("config/file.rs", "reads the configuration's file"),
    (
        "content/blob.rs",
        "reads and writes through the traits of std::io, as bao-tree asks; opens nothing",
    ),
    ("content/disk.rs", "the seam to the file system"),
    ("content/disk/fenced.rs", "a disk that asks the fence"),
    ("content/disk/timed.rs", "a disk that measures its writes"),
    (
        "content/file.rs",
        "reads and writes files, and lets readers wait",
    ),
    (
        "content/file/claims.rs",
        "reads and writes the list of what a file has",
    ),
    (
        "content/file/findings.rs",
        "is told by blobs in several threads",
    ),
    (
        "content/file/hashes.rs",
        "reads the outboard of an open file",
    ),
    (
        "content/file/memory_tail.rs",
        "keeps in memory what no disk takes, under the file's lock",
    ),
    ("content/file/pairs.rs", "writes hash pairs to a disk"),
    ("content/file/slice.rs", "reads a slice from a file"),
    ("content/hash.rs", "reads a file to hash it"),
    (
        "content/layout.rs",
        "names, makes and removes the cache's files",
    ),
    (
        "content/store.rs",
        "owns the cache's files, from several threads",
    ),
    ("content/error.rs", "an error of the file system"),
    (
        "content/store/partial.rs",
        "opens files that have arrived in part",
    ),
    ("control/server.rs", "listens for control clients"),
    (
        "control/server/client.rs",
        "reads and writes one client's connection",
    ),
    ("control/server/held.rs", "counts bytes that tasks share"),
    ("control/server/socket.rs", "binds the control socket"),
    ("daemon/archive.rs", "writes and reads kept catalogues"),
    ("daemon/clock.rs", "asks all clocks of the machine"),
    ("daemon/context.rs", "binds the control socket"),
    ("daemon/dirs.rs", "makes and locks the directories"),
    ("daemon/exposition.rs", "writes the file of numbers"),
    (
        "daemon/introduce.rs",
        "asks the host for its name and a clock for a seed",
    ),
    (
        "daemon/keepsake.rs",
        "writes the identity and the lock again",
    ),
    (
        "daemon/live.rs",
        "has the store and the library go by what was read",
    ),
    ("daemon/logging.rs", "writes the log"),
    ("daemon/tracker_control.rs", "looks for trackers"),
    ("daemon/machine.rs", "asks for the machine's memory"),
    ("daemon/memory.rs", "writes what a node remembers"),
    ("daemon/mod.rs", "owns all tasks"),
    ("daemon/music.rs", "owns the library's task"),
    ("daemon/network.rs", "watches the network"),
    ("daemon/parts.rs", "starts all tasks"),
    (
        "daemon/place.rs",
        "writes the place in the music to memory and disk",
    ),
    ("daemon/reload.rs", "reads the configuration again"),
    ("daemon/signals.rs", "waits for signals"),
    ("daemon/slots.rs", "writes the record of positions"),
    ("daemon/speaker.rs", "starts all that a node has that plays"),
    (
        "daemon/tracker_link.rs",
        "owns the link to the trackers and the search for them",
    ),
    (
        "daemon/trial.rs",
        "reads an environment variable of the tests",
    ),
    ("discovery.rs", "speaks mDNS"),
    ("discovery/heard.rs", "takes what the mDNS library tells"),
    ("discovery/shared.rs", "owns the mDNS daemon"),
    ("door.rs", "lets benches and fuzz targets in"),
    ("door/crowd.rs", "opens a thousand connections for a bench"),
    ("fence.rs", "opens files and asks where they lie"),
    ("identity/authority.rs", "signs with rcgen"),
    (
        "identity/crypto.rs",
        "asks the system for randomness for TLS",
    ),
    ("identity/key_file.rs", "reads and writes the key file"),
    ("identity/mod.rs", "loads the secret and configures TLS"),
    ("identity/secret.rs", "reads and writes the secret"),
    (
        "identity/tls.rs",
        "the verifiers of rustls, with a lock for what is believed",
    ),
    ("interfaces.rs", "asks for the machine's addresses"),
    ("interfaces/changes.rs", "waits for the kernel's word"),
    ("interfaces/mtu.rs", "asks for the path's packet size"),
    ("lib.rs", "ends the process with its exit code"),
    ("library/writer.rs", "writes the index"),
    ("library/hashing.rs", "hashes on threads"),
    ("library/index.rs", "the database on disk"),
    ("library/index/error.rs", "an error of the database"),
    ("library/index/reader.rs", "reads the database"),
    ("library/index/tables.rs", "the tables of the database"),
    ("library/mod.rs", "owns the library's thread and tasks"),
    ("library/mounts.rs", "waits for mounts"),
    ("library/rescan.rs", "walks the music directories"),
    ("library/scan.rs", "reads directories"),
    ("library/tags.rs", "reads tags from files"),
    ("library/tags/budget.rs", "measures what reading tags takes"),
    ("library/watch.rs", "waits for changes of files"),
    ("main.rs", "ends the process with its exit code"),
    (
        "media/decode.rs",
        "decodes with rodio, and reads what it decodes",
    ),
    ("media/guard.rs", "knows which thread runs a parser"),
    ("media/probe.rs", "opens files"),
    ("pairing/client.rs", "connects to a member"),
    ("pairing/server.rs", "listens for newcomers"),
    ("pairing/stream.rs", "the TLS stream of a pairing"),
    (
        "peer/bytes.rs",
        "reads a track's bytes for the decoder's thread",
    ),
    (
        "peer/downloads.rs",
        "owns what brings tracks here: links and tasks",
    ),
    ("peer/hello.rs", "greets over a connection"),
    ("peer/mod.rs", "the drive loop of a peer"),
    ("peer/outlets.rs", "hands on what is to be written down"),
    ("peer/uploads.rs", "owns the channels that answer others"),
    ("peer/workbench.rs", "owns tasks"),
    ("peer/visits.rs", "serves guests"),
    ("player/output/alsa.rs", "opens a sound card"),
    (
        "player/output/alsa/fault.rs",
        "tells the errors of alsa-lib apart",
    ),
    (
        "player/output/alsa/line.rs",
        "the thread that keeps a card filled",
    ),
    ("player/output/alsa/names.rs", "asks ALSA for its names"),
    ("player/output/alsa/setup.rs", "sets a sound card up"),
    (
        "player/output/rodio.rs",
        "opens a sound card where there is no ALSA",
    ),
    ("player/engine.rs", "the audio thread"),
    ("player/decoder_thread.rs", "the decoding thread"),
    ("player/alsa_silence.rs", "silences alsa-lib"),
    ("player/inbox.rs", "hands orders to a thread"),
    ("player/supervisor.rs", "opens and closes the device"),
    ("player/mixer.rs", "asks the sound cards' mixers"),
    ("player/mod.rs", "the handle to the player's threads"),
    ("player/outbox.rs", "hands events to a channel"),
    ("player/output.rs", "opens an output"),
    (
        "player/output/paced.rs",
        "a thread that keeps a device's pace",
    ),
    ("player/raw_clock.rs", "asks the clock that sound goes by"),
    ("player/ring.rs", "samples that two threads share"),
    ("player/ring/cell.rs", "what one thread tells another"),
    (
        "player/ring/renderer.rs",
        "what the device's thread takes from the ring",
    ),
    ("player/output/wav.rs", "writes a file of sound"),
    ("port_owner.rs", "reads /proc"),
    ("protocol/framing.rs", "reads a stream"),
    ("service.rs", "talks to the service manager"),
    ("sockets.rs", "binds listeners"),
    (
        "swarm/congestion.rs",
        "the trait of quinn's congestion controllers",
    ),
    ("swarm/connection_ids.rs", "names connections by chance"),
    ("swarm/endpoint.rs", "owns the QUIC socket"),
    ("swarm/fetch.rs", "reads slices from connections"),
    ("swarm/hosts.rs", "sets the windows of quinn's connections"),
    ("swarm/link.rs", "connects to a peer, again and again"),
    ("swarm/provide.rs", "writes slices to connections"),
    ("swarm/provide/pieces.rs", "reads slices on a thread"),
    ("swarm/socket.rs", "sends and receives datagrams"),
    ("tracker/client.rs", "connects to trackers"),
    ("tracker/server.rs", "listens for peers"),
    (
        "tracker/server/connection.rs",
        "reads and writes one peer's connection",
    ),
    ("tracker/server/name_file.rs", "writes the file of names"),
    (
        "tracker/server/outbox.rs",
        "hands frames to a connection's task",
    ),
    ("tracker/server/turns.rs", "lets tasks wait for their turn"),
    ("util/within.rs", "waits for a timer"),
    ("util/work.rs", "starts tasks"),
];

/// Dependencies that wait, ask the machine, or change it.
pub const CRATES_THAT_ACT: &[&str] = &[
    "alsa",
    "async_channel",
    "async_io",
    "blocking",
    "fern",
    "futures_rustls",
    "lofty",
    "mdns_sd",
    "nix",
    "notify",
    "quinn",
    "rcgen",
    "redb",
    "rodio",
    "rtrb",
    "rustix",
    "rustls",
    "rustls_webpki",
    "signal_hook",
    "smol",
    "terminal_size",
];

/// Dependencies that compute only.
pub const CRATES_THAT_DO_NOT: &[&str] = &[
    "bao_tree",
    "blake3",
    "bytes",
    "clap",
    "clap_complete",
    "clap_mangen",
    "curve25519_dalek",
    "lazy_static",
    "log",
    "minicbor",
    "quinn_proto",
    "ring",
    "serde",
    "serde_json",
    "thiserror",
    "toml",
    "tracing",
    "unicode_width",
    "zeroize",
];

/// Paths, and methods after a dot, that a pure file does not use, and what they are.
pub const WORDS: &[(&str, &str)] = &[
    ("std::fs", "files"),
    ("std::io", "input and output"),
    ("std::os::fd", "files"),
    ("std::os::linux", "the machine"),
    ("std::os::unix::fs", "files"),
    ("std::os::unix::net", "sockets"),
    ("std::os::unix::process", "processes"),
    ("fs::File", "files"),
    ("File::open", "files"),
    ("File::create", "files"),
    ("OpenOptions", "files"),
    (".canonicalize(", "files"),
    (".exists(", "files"),
    (".is_dir(", "files"),
    (".is_file(", "files"),
    (".metadata(", "files"),
    (".read_dir(", "files"),
    (".symlink_metadata(", "files"),
    ("print!", "output"),
    ("println!", "output"),
    ("eprint!", "output"),
    ("eprintln!", "output"),
    ("std::thread", "threads"),
    ("thread::spawn", "threads"),
    ("thread::sleep", "threads"),
    ("TcpStream", "sockets"),
    ("TcpListener", "sockets"),
    ("UdpSocket", "sockets"),
    ("UnixStream", "sockets"),
    ("UnixListener", "sockets"),
    ("ToSocketAddrs", "DNS"),
    (".to_socket_addrs(", "DNS"),
    ("async", "async"),
    (".await", "async"),
    ("Future", "async"),
    ("mpsc", "channels"),
    ("Mutex", "locks"),
    ("RwLock", "locks"),
    ("Condvar", "locks"),
    ("Barrier", "locks"),
    ("atomic", "state that threads share"),
    ("OnceLock", "global state"),
    ("LazyLock", "global state"),
    ("OnceCell", "global state"),
    ("lazy_static!", "global state"),
    ("thread_local!", "global state"),
    ("Instant::now", "a clock"),
    ("SystemTime::now", "a clock"),
    (".elapsed()", "a clock"),
    ("std::env", "the environment"),
    ("std::process", "the environment"),
    ("HashMap", "an order that differs from run to run"),
    ("HashSet", "an order that differs from run to run"),
    ("RandomState", "global randomness"),
    ("SystemRandom", "global randomness"),
    ("getrandom", "global randomness"),
];

/// The files that may ask what time it is, and what for. Everything else goes by the
/// monotonic clock, or by the times of files, which are only compared.
pub const WALL_CLOCK: &[(&str, &str)] = &[
    (
        "cli/doctor/look/machine.rs",
        "whether the clock is set, for people",
    ),
    (
        "daemon/clock.rs",
        "how long a node was away, where no other clock can tell",
    ),
    ("daemon/logging.rs", "the time of a log line"),
    ("daemon/introduce.rs", "a seed, for which any number does"),
    ("peer/mod.rs", "when the database changed, as MPD shows it"),
];

/// What the files of a feature folder may use of another, and why; `node`, `core`,
/// `peer`, `daemon`, `cli` and `sim` stand above all of them.
pub const ARROWS: &[(&str, &str, &str)] = &[
    (
        "swarm",
        "content",
        "what is sent and fetched lies there; below it",
    ),
    (
        "library",
        "media",
        "tags, formats, and what a decoder reads first; below it",
    ),
    ("player", "media", "decoding; below it"),
    (
        "control",
        "command",
        "a line is parsed into a command; below it",
    ),
    ("control", "player/queue", "an id is read from a line"),
    (
        "control",
        "player/transport",
        "a place to seek to is read from a line",
    ),
    ("command", "player/queue", "commands work on the queue"),
    (
        "command",
        "player/transport",
        "commands work on the transport",
    ),
    ("catalog", "media", "an entry says what its file is"),
    (
        "config",
        "player/spec",
        "`audio.device` is parsed into what it means",
    ),
];

/// Folders that do not know each other but by [`ARROWS`].
pub const FEATURES: &[&str] = &[
    "tracker",
    "swarm",
    "library",
    "player",
    "command",
    "control",
    "content",
    "media",
    "discovery",
];
/// Which of those above, and of all others, do not know a room, and why.
pub const NEVER: &[(&str, &str, &str)] = &[
    (
        "node",
        "control",
        "no protocol's word is in what the node is asked and answers",
    ),
    ("node", "core", "the node is a part of the core"),
    ("core", "peer", "the driver performs what the core wants"),
];

/// What stands above them.
pub const ABOVE: &[&str] = &["node", "core", "peer", "daemon", "cli", "sim"];

/// What all others may use, and what uses no other.
pub const BELOW: &[&str] = &["util"];

/// Where the rooms meet: the program, the list of its rooms, and the door that
/// benches and fuzz targets come in by.
pub const ROOTS: &[&str] = &["main", "lib", "door"];

/// Circles that are still there: a folder, and the names in it that reach each other.
pub const CIRCLES: &[(&str, &str)] = &[];

/// What is still too long: a file, and a function of it or "the file" itself.
pub const LONG: &[(&str, &str)] = &[];

/// Files that give methods to a type of another file, and the type.
pub const SPREAD: &[(&str, &str)] = &[
    ("content/file/claims.rs", "Blob"),
    ("content/file/memory_tail.rs", "Blob"),
    ("content/store/partial.rs", "Store"),
    ("library/rescan.rs", "Library"),
    ("node/commands.rs", "Node"),
    ("node/plays/absent.rs", "Plays"),
    ("node/view.rs", "Node"),
    ("tracker/links/naming.rs", "Links"),
    ("tracker/links/naming.rs", "SharedMember"),
    ("tracker/links/plan.rs", "Links"),
    ("tracker/links/told.rs", "Links"),
    ("tracker/registry/claims.rs", "Registry"),
];
