"""Which names reach the world outside `context.world`, and how.

A name counts with everything below it: `subprocess` covers `subprocess.run`. The longest entry decides, so that a harmless
part of a dangerous module (`urllib.parse`) is told apart. The table errs to the side of telling: a name that is reported and does
no harm costs a line in a declaration, one that is missed costs the whole point.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

from assent.plugins.manifest import UseKind

_HARMLESS: Final = None

_BY_KIND: Final[dict[UseKind | None, str]] = {
    UseKind.NETWORK: """
        socket _socket ssl _ssl http.client http.server urllib.request urllib3 httpx requests aiohttp ftplib smtplib poplib
        imaplib
        nntplib telnetlib xmlrpc socketserver websockets websocket paramiko asyncssh fabric grpc boto3 botocore aioboto3 psycopg
        psycopg2 asyncpg pymysql aiomysql mysql redis pymongo motor kafka aiokafka confluent_kafka pika aio_pika nats zmq dns
        scapy twisted tornado sanic flask fastapi starlette uvicorn gunicorn hypercorn django wsgiref webbrowser smbclient ldap3
        slack_sdk openai anthropic stripe google.cloud azure docker kubernetes elasticsearch sqlalchemy pycurl niquests treq
        asyncio.open_connection asyncio.open_unix_connection asyncio.start_server asyncio.start_unix_server
        anyio.connect_tcp anyio.create_tcp_listener anyio.connect_unix trio.open_tcp_stream trio.serve_tcp trio.socket
        multiprocessing.connection logging.handlers.SocketHandler logging.handlers.DatagramHandler logging.handlers.HTTPHandler
        logging.handlers.SMTPHandler logging.handlers.SysLogHandler""",
    UseKind.PROCESS: """
        subprocess _posixsubprocess os.system os.popen os.execl os.execle os.execlp os.execlpe os.execv os.execve os.execvp
        os.execvpe os.spawnl os.spawnle os.spawnlp os.spawnlpe os.spawnv os.spawnve os.spawnvp os.spawnvpe os.posix_spawn
        os.posix_spawnp os.fork os.forkpty os.startfile os.kill os.killpg os.abort os._exit os.setuid os.setgid os.seteuid
        os.setegid os.setreuid os.setresuid os.setgroups os.setsid os.chroot os.ptrace os.pidfd_open posix.system posix.popen
        posix.execv posix.execve posix.fork posix.posix_spawn nt.system pty multiprocessing asyncio.create_subprocess_exec
        asyncio.create_subprocess_shell asyncio.subprocess concurrent.futures.ProcessPoolExecutor commands pexpect sh plumbum
        invoke psutil signal.pthread_kill signal.raise_signal anyio.run_process anyio.open_process trio.run_process
        webbrowser.open antigravity""",
    UseKind.FILES: """
        builtins.open io.open io.open_code io.FileIO _io.open _io.FileIO codecs.open os.open os.fdopen os.remove os.unlink
        os.rename os.renames os.replace os.mkdir os.makedirs os.rmdir os.removedirs os.link os.symlink os.readlink os.truncate
        os.chmod os.chown os.lchown os.chflags os.utime os.walk os.fwalk os.listdir os.scandir os.mkfifo os.mknod os.chdir
        os.fchdir os.access os.stat os.lstat os.statvfs os.setxattr os.getxattr os.removexattr os.sendfile os.copy_file_range
        os.memfd_create os.path.exists os.path.isfile os.path.isdir os.path.getsize os.path.realpath os.path.expanduser posix.open
        posix.unlink posix.rename shutil tempfile sqlite3 _sqlite3 apsw dbm shelve fileinput glob pathlib.Path pathlib.PosixPath
        pathlib.WindowsPath zipfile.ZipFile tarfile.open tarfile.TarFile gzip.open gzip.GzipFile bz2.open lzma.open
        logging.FileHandler logging.handlers.RotatingFileHandler logging.handlers.TimedRotatingFileHandler linecache mmap fcntl
        aiofiles anyio.open_file anyio.Path trio.open_file trio.Path watchdog pyfakefs""",
    UseKind.ENVIRONMENT: """
        os.environ os.environb os.getenv os.getenvb os.putenv os.unsetenv os.path.expandvars posix.environ dotenv environs""",
    UseKind.DYNAMIC: """
        builtins.exec builtins.eval builtins.compile builtins.breakpoint runpy code codeop imp zipimport
        importlib.util.spec_from_file_location importlib.util.module_from_spec importlib.util.spec_from_loader
        importlib.machinery importlib.abc marshal.load marshal.loads pickle.load pickle.loads pickle.Unpickler _pickle
        cPickle dill cloudpickle joblib.load jsonpickle types.FunctionType types.CodeType types.ModuleType sys.modules
        sys.meta_path sys.path_hooks sys.path sys.settrace sys.setprofile sys._getframe sys._current_frames sys.addaudithook
        sys.excepthook inspect.currentframe inspect.stack pkgutil.resolve_name
        logging.config.dictConfig logging.config.fileConfig gc.get_objects gc.get_referrers gc.get_referents bdb pdb
        threading.settrace threading.setprofile site.addsitedir pkgutil.get_loader pkg_resources atexit
        builtins.__build_class__ yaml.load yaml.unsafe_load yaml.full_load pip ensurepip setuptools""",
    UseKind.NATIVE: "ctypes _ctypes cffi _cffi_backend cython pyximport numba jpype clr",
    _HARMLESS: """
        ast.literal_eval os.path.join os.environ.__class__ socket.AF_INET socket.AF_INET6 socket.AF_UNIX socket.SOCK_STREAM
        subprocess.CalledProcessError subprocess.TimeoutExpired subprocess.PIPE subprocess.DEVNULL requests.exceptions
        tempfile.gettempprefix pathlib.PurePath pathlib.PurePosixPath glob.escape mmap.PAGESIZE google.cloud.exceptions
        sqlite3.Error sqlite3.OperationalError httpx.HTTPError httpx.HTTPStatusError httpx.RequestError httpx.TimeoutException
        shutil.Error ssl.SSLError socket.timeout socket.gaierror socket.error urllib3.exceptions aiohttp.ClientError""",
}

TABLE: Final[Mapping[str, UseKind | None]] = {
    name: kind for kind, names in _BY_KIND.items() for name in names.split()
}
"""Real name → what it reaches; None for a harmless part of something that is not."""

METHODS: Final[Mapping[str, UseKind]] = {
    name: kind
    for kind, names in {
        UseKind.NETWORK: """
            create_connection create_datagram_endpoint create_server create_unix_connection create_unix_server sock_connect
            sock_sendto getaddrinfo getnameinfo""",
        UseKind.PROCESS: "subprocess_exec subprocess_shell",
        UseKind.DYNAMIC: """
            __subclasses__ __globals__ __builtins__ __code__ __closure__ __self__ f_globals f_locals f_builtins tb_frame
            gi_frame exec_module load_module""",
    }.items()
    for name in names.split()
}
"""Methods and attributes whose names say what they do, whatever they are asked of."""

PATH_METHODS: Final = frozenset(
    "read_text read_bytes write_text write_bytes iterdir rglob unlink symlink_to hardlink_to touch rmdir".split()
)
"""Methods of `pathlib.Path` that no other common type has."""

KEYS: Final = frozenset(
    {"os", "posix", "sys", "builtins", "importlib", "io", "shutil", "subprocess", "socket", "ctypes"}
)
"""Modules that open every door. One of them as a mere value (`f(os)`) can be used where no reading sees it."""

SUSPICIOUS: Final = frozenset(
    name.rpartition(".")[2] for name, kind in TABLE.items() if kind is not None and name.startswith("os.")
)

SAFE_AT_IMPORT: Final = (
    "assent. pydantic. msgspec. typing. typing_extensions. dataclasses. enum. abc. collections. functools. re.compile "
    "logging.getLogger structlog.get_logger contextvars.ContextVar operator. itertools. types.MappingProxyType "
    "types.SimpleNamespace decimal.Decimal fractions.Fraction datetime. pathlib.PurePath pathlib.PurePosixPath string. "
    "textwrap. struct.Struct threading.Lock threading.RLock asyncio.Lock weakref. numbers. warnings.deprecated json.dumps "
    "json.loads"
).split()
"""Calls that only define something."""

_LOUD_BUILTINS: Final = frozenset(
    "exec eval open compile __import__ input print breakpoint exit quit help setattr delattr globals locals vars".split()
)


def use_kind(dotted: str) -> UseKind | None:
    """What a real name reaches; None for nothing that counts."""
    found = _CACHE.get(dotted, _HARMLESS)
    if found is not None or dotted in _CACHE:
        return found
    head = dotted
    while head and head not in TABLE:
        head = head.rpartition(".")[0]
    kind = TABLE.get(head)
    if len(_CACHE) < _CACHE_MAX:
        _CACHE[dotted] = kind
    return kind


def shown_name(dotted: str) -> str:
    """What is told of a real name: the function, class or variable that is reached, without what is then asked of it."""
    head = dotted
    while head and head not in TABLE:
        head = head.rpartition(".")[0]
    more = dotted[len(head) + 1 :].partition(".")[0]
    if not head or not more or ("." in head and head.partition(".")[0] in _OF_FUNCTIONS):
        return head or dotted
    return f"{head}.{more}"


# Modules whose entries in the table are functions and variables, not modules.
_OF_FUNCTIONS: Final = frozenset(
    "os posix nt builtins io _io codecs sys marshal pickle types gc inspect threading signal gzip bz2 lzma tarfile".split()
)

_CACHE_MAX: Final = 20_000
_CACHE: Final[dict[str, UseKind | None]] = {}


def is_stdlib(module: str) -> bool:
    """Whether a module is of the standard library of any supported Python."""
    top = module.partition(".")[0]
    return top in sys.stdlib_module_names or top in _GONE


# Modules that some supported Pythons have and others do not: a manifest may not depend on which one reads.
_GONE: Final = frozenset(
    """aifc annotationlib asynchat asyncore audioop cgi cgitb chunk compression concurrent crypt distutils imghdr imp lib2to3
    mailcap msilib nis nntplib ossaudiodev pathlib pipes smtpd sndhdr spwd string sunau telnetlib tomllib uu xdrlib""".split()
)


def runs_something(dotted: str) -> bool:
    """Whether a call of this name at import does more than define."""
    if dotted.startswith("builtins."):
        return dotted.removeprefix("builtins.").partition(".")[0] in _LOUD_BUILTINS
    return not any(dotted.startswith(safe) for safe in SAFE_AT_IMPORT)
