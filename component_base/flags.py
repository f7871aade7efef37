"""Options of a daemon as a frozen dataclass; the command line and a config file fill it in.

A field becomes a flag (``cluster_cidr`` -> ``--cluster-cidr``) and the flag's text a typed value. A flag wins over
``--config FILE`` (YAML, the flags' names as keys), which wins over the default. A bad value ends the process with
status 2 and one line that names the flag. Checks that need several fields belong in the dataclass's
``__post_init__``, which raises ``ValueError`` with a message that names the flag.

    @dataclass(frozen=True, kw_only=True)
    class ServingOptions:
        bind_address: IPAddress = option("0.0.0.0", "Address to listen on; all interfaces by default.")

    @dataclass(frozen=True, kw_only=True)
    class SchedulerOptions(Options):
        serving: ServingOptions = group("Serving", ServingOptions)
        kubeconfig: Path | None = option(None, "How to reach the apiserver.")

    options = parse(SchedulerOptions, "kube-scheduler", "Gives each pod a node.")
"""

import argparse
import dataclasses
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from component_base.values import Type, ValueType, number, parse_file, value_type

T = TypeVar("T")
OptionsT = TypeVar("OptionsT", bound="Options")

_HELP, _FLAG, _METAVAR, _CHOICES, _GROUP, _ALIASES = "help", "flag", "metavar", "choices", "group", "aliases"
_TYPE = "type"
_DEFAULT_GROUP = "Options"


def option(
    default: Any = dataclasses.MISSING,
    help: str = "",
    *,
    flag: str | None = None,
    aliases: Sequence[str] = (),
    metavar: str | None = None,
    choices: Sequence[str] | None = None,
    group: str | None = None,
    type: ValueType | None = None,
) -> Any:
    """A dataclass field that is a flag.

    ``default`` is either a value of the field's type or its text as on the command line ("10s", "10.0.0.0/16");
    without one the flag is required. ``flag`` overrides the name derived from the field's, ``aliases`` are further
    spellings ("-v"), ``choices`` the only values allowed, ``group`` a heading in --help. ``type`` parses and formats
    values that the field's annotation alone does not describe: a range, a quantity.
    """
    metadata = {
        _HELP: help,
        _FLAG: flag,
        _METAVAR: metavar,
        _CHOICES: tuple(choices) if choices else None,
        _GROUP: group,
        _ALIASES: tuple(aliases),
        _TYPE: type,
    }
    if isinstance(default, list | dict | set):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def group(title: str, options: type[T]) -> T:
    """A field that holds a dataclass of options, under the heading ``title`` in --help."""
    return dataclasses.field(default_factory=options, metadata={_GROUP: title})


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of every daemon, to be subclassed. ``sources`` says where each flag's value came from."""

    config: Path | None = option(  # a dataclass field
        None, "File with options: YAML, the flags' names as keys. Flags win over it.", metavar="FILE", group="Config"
    )
    v: int = option(
        2, "Log verbosity: 0 warnings, 1 to 3 info, 4 and more debug.", aliases=["-v"], group="Logging", type=number(0)
    )
    logging_format: str = option("text", "Format of log lines.", choices=["text", "json"], group="Logging")
    sources: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class Flag:
    """One flag: where its value goes in the dataclass and how its text is parsed."""

    path: tuple[str, ...]
    name: str
    title: str
    help: str
    type: ValueType
    default: Any
    aliases: tuple[str, ...]

    @property
    def required(self) -> bool:
        return self.default is dataclasses.MISSING

    @property
    def dest(self) -> str:
        return self.name.replace("-", "_")

    def read(self, text: str) -> Any:
        try:
            return self.type.parse(text)
        except ValueError as exc:
            raise FlagError(f'invalid argument "{text}" for "--{self.name}" flag: {exc}') from exc


class FlagError(ValueError):
    """A value that is not allowed; the message names the flag."""


def flags_of(options: type[Any], title: str = _DEFAULT_GROUP, path: tuple[str, ...] = ()) -> list[Flag]:
    """Every flag of a dataclass of options, groups included, in the order of the fields."""
    hints = typing.get_type_hints(options)
    flags: list[Flag] = []
    for field in dataclasses.fields(options):
        hint, metadata = hints[field.name], field.metadata
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            flags += flags_of(hint, metadata.get(_GROUP) or title, (*path, field.name))
        elif _HELP in metadata:
            flags.append(_flag_of(field, hint, title, path))
    return flags


def _flag_of(field: "dataclasses.Field[Any]", hint: Any, title: str, path: tuple[str, ...]) -> Flag:
    metadata = field.metadata
    kind = metadata[_TYPE] or value_type(hint, metadata[_CHOICES], metadata[_METAVAR])
    default = field.default
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    if isinstance(default, str):
        default = kind.parse(default)
    return Flag(
        path=(*path, field.name),
        name=metadata[_FLAG] or field.name.replace("_", "-"),
        title=metadata[_GROUP] or title,
        help=metadata[_HELP],
        type=kind,
        default=default,
        aliases=metadata[_ALIASES],
    )


def parse(options: type[OptionsT], prog: str, description: str = "", argv: Sequence[str] | None = None) -> OptionsT:
    """Options from the command line and the config file.

    A wrong value ends the process with status 2 and one line that names the flag; --help ends it with 0.
    """
    flags = flags_of(options)
    parser = _parser(flags, prog, description)
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    from_command_line = {dest: text for dest, text in vars(arguments).items() if text is not None}
    try:
        return _build(options, flags, from_command_line)
    except ValueError as exc:
        parser.exit(2, f"{prog}: {exc}\n")
        raise AssertionError("unreachable") from exc


def _parser(flags: Sequence[Flag], prog: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description,
        allow_abbrev=False,
        add_help=False,
        formatter_class=_Formatter,
        usage="%(prog)s [flags]",
    )
    titles: dict[str, Any] = {}
    common = {field.name for field in dataclasses.fields(Options)}
    for flag in sorted(flags, key=lambda flag: flag.path[0] in common):  # the daemon's own flags come first
        section = titles.setdefault(flag.title, None) or parser.add_argument_group(flag.title)
        titles[flag.title] = section
        arity: dict[str, Any] = {"nargs": "?", "const": "true"} if flag.type.kind is Type.BOOL else {}
        section.add_argument(
            *flag.aliases,
            f"--{flag.name}",
            dest=flag.dest,
            default=None,
            metavar=flag.type.metavar,
            help=_help(flag),
            **arity,
        )
    parser.add_argument_group("Help").add_argument("-h", "--help", action="help", help="Show this help.")
    return parser


class _Formatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, indent_increment=2, max_help_position=34, width=100)


def _help(flag: Flag) -> str:
    text = flag.help
    if flag.type.choices:
        text += f" One of {', '.join(flag.type.choices)}."
    if flag.required:
        text += " (required)"
    elif flag.default not in (None, "", (), {}):
        text += f" (default {flag.type.format(flag.default)})"
    return text.replace("%", "%%").strip()


def _build(options: type[OptionsT], flags: Sequence[Flag], from_command_line: Mapping[str, str]) -> OptionsT:
    from_file = _read_file(from_command_line.get("config"), flags)
    values: dict[tuple[str, ...], Any] = {}
    sources: dict[str, str] = {}
    for flag in flags:
        if flag.dest in from_command_line:
            values[flag.path], sources[flag.name] = flag.read(from_command_line[flag.dest]), "flag"
        elif flag.name in from_file:
            values[flag.path], sources[flag.name] = flag.read(from_file[flag.name]), "file"
        elif flag.required:
            raise FlagError(f"--{flag.name} is required")
        else:
            values[flag.path] = flag.default
    return typing.cast(OptionsT, _instance(options, (), values, {"sources": types.MappingProxyType(sources)}))


def _instance(
    cls: type[Any], path: tuple[str, ...], values: Mapping[tuple[str, ...], Any], extra: dict[str, Any]
) -> Any:
    hints = typing.get_type_hints(cls)
    arguments = dict(extra)
    for field in dataclasses.fields(cls):
        here, hint = (*path, field.name), hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            arguments[field.name] = _instance(hint, here, values, {})
        elif here in values:
            arguments[field.name] = values[here]
    return cls(**arguments)


def _read_file(path: str | None, flags: Sequence[Flag]) -> dict[str, str]:
    """The config file as flag -> text, so that values are parsed as on the command line."""
    if path is None:
        return {}
    try:
        document = yaml.load(parse_file(path).read_bytes(), Loader=_TextLoader)
    except yaml.MarkedYAMLError as exc:
        line = f"line {exc.problem_mark.line + 1}: " if exc.problem_mark else ""
        raise FlagError(f'invalid argument "{path}" for "--config" flag: {line}{exc.problem or exc.context}') from exc
    except RecursionError:
        raise FlagError(f'invalid argument "{path}" for "--config" flag: nested too deep') from None
    except yaml.YAMLError:
        raise FlagError(f'invalid argument "{path}" for "--config" flag: not YAML') from None
    except ValueError as exc:
        raise FlagError(f'invalid argument "{path}" for "--config" flag: {exc}') from exc
    if document is None or document == "":
        return {}
    if not isinstance(document, dict):
        raise FlagError(f'invalid argument "{path}" for "--config" flag: must be a mapping of flag to value')
    known = {flag.name for flag in flags} - {"config"}
    for key in document:
        if key not in known:
            raise FlagError(f'invalid argument "{path}" for "--config" flag: unknown option {key!r}')
    return {key: _text(value, f"{path}: {key}") for key, value in document.items()}


class _TextLoader(yaml.SafeLoader):
    """Keeps every scalar as text: the flag decides what `10:30` and `on` mean. Tags and duplicate keys are errors."""

    yaml_implicit_resolvers = {}
    yaml_constructors = {
        tag: yaml.SafeLoader.yaml_constructors[tag] for tag in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", None)
    }

    def construct_unique(self, node: yaml.MappingNode) -> dict[Any, Any]:
        pairs = [(self.construct_object(key), self.construct_object(value, deep=True)) for key, value in node.value]
        names = [key for key, _ in pairs]
        if repeated := next((name for name in names if not isinstance(name, str) or names.count(name) > 1), None):
            raise yaml.constructor.ConstructorError(problem=f"{repeated!r} is repeated", problem_mark=node.start_mark)
        return dict(pairs)


_TextLoader.add_constructor("tag:yaml.org,2002:map", _TextLoader.construct_unique)


def _text(value: Any, where: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        return ",".join(f"{key}={item}" for key, item in value.items())
    raise FlagError(f"{where}: must be a value, a list of values or a mapping of values")


def describe(options: Options) -> list[str]:
    """Each flag with its value and source, for the log at start: `--v=4 (flag)`."""
    lines = []
    for flag in flags_of(type(options)):
        value: Any = options
        for name in flag.path:
            value = getattr(value, name)
        text = "" if value is None else flag.type.format(value)
        lines.append(f"--{flag.name}={text} ({options.sources.get(flag.name, 'default')})")
    return lines
