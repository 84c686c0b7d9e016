"""What decides the result of a call: the source of a function, of all the course's code
that it can reach, and the values that this code reads: constants, rows, weights.

Comments, docstrings, annotations and errors are no part of it. The code of the floor,
`hub` and the readers of `data`, is not looked into; the files that these load are
witnesses of the call instead (`cache`). Other packages count by name.
"""

import ast
import builtins
import dataclasses
import dis
import enum
import functools
import hashlib
import importlib
import inspect
import linecache
import marshal
import re
import sys
import types
import weakref
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from prompttune_utils import data, hub

PACKAGE = __name__.partition(".")[0]
# modules whose code is not looked into, and readers whose files are witnesses
FLOOR = {"hub", "plots", "drawings", "tables", "identity", "cache", "claims", "results"}
READERS = {"load_task", "read_rows", "read_csv"}


class Walk:
    """From a function to all the course's code and values that it can reach.

    `components` is everything that decides what the function gives, but its arguments:
    name -> short hash. `keeps_results` says whether a function on the way keeps its
    results (`functools.cache`), so that not every call loads what it needs.

    Raises:
        ValueError: it reads something whose content cannot be told, or has no source.
    """

    def __init__(self, run: Callable):
        self.components: dict[str, str] = {}
        self.keeps_results = False
        self.run = label(run)
        self.seen: dict[int, object] = {}  # kept alive, or an id would come back
        self.inside: list[int] = []  # the containers around the value being read
        if isinstance(run, types.FunctionType):
            self.function(run)
        else:
            self.put(f"value {self.run}", self.token(run, self.run))
        if not any(name.startswith("def ") for name in self.components):
            raise ValueError(
                f"`{self.run}` is no function of the course: write one in the chapter "
                "that calls it."
            )

    def put(self, name: str, token: bytes) -> None:
        """Keeps a component; a second one of the same name gets a number."""
        number = 2
        while name in self.components and self.components[name] != short(token):
            name = f"{name.split('#')[0]}#{number}"
            number += 1
        self.components[name] = short(token)

    def value(self, value, name: str) -> None:
        """Keeps a value that is read under this name."""
        kind = "value"
        if isinstance(value, (hub.Backbone, torch.nn.Module)):
            kind = "weights"
        elif isinstance(value, data.Task) or is_rows(value):
            kind = "rows"
        self.put(f"{kind} {name}", self.token(value, name))

    def token(self, value, name: str) -> bytes:
        """Bytes that differ where the values differ. What holds code is named, and
        walked to."""
        if is_plain(value):
            return marshal.dumps(value, 2)  # version 2 does not depend on references
        if id(value) in self.inside:
            return f"<{len(self.inside) - self.inside.index(id(value))} up>".encode()
        self.inside.append(id(value))
        try:
            parts = self.parts(value, name)
        finally:
            self.inside.pop()
        return b"(" + b"".join(b"%d:%s" % (len(p), p) for p in parts) + b")"

    def parts(self, value, name: str) -> list[bytes]:
        """The tokens that a value is made of."""
        kind = type(value)
        if isinstance(value, type):
            self.klass(value)
            return [b"class", label(value).encode()]
        if isinstance(value, types.ModuleType):
            return [b"module", value.__name__.encode()]
        if isinstance(value, functools._lru_cache_wrapper):
            self.keeps_results = True
            return [b"kept", self.token(value.__wrapped__, name)]
        if isinstance(value, types.FunctionType):
            self.function(value)
            return [b"def", label(value).encode()]
        if isinstance(value, types.MethodType):
            return [self.token(p, name) for p in (value.__func__, value.__self__)]
        if isinstance(value, functools.partial):
            inner = value.func, value.args, value.keywords
            return [b"partial", *(self.token(part, name) for part in inner)]
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype != object:
            array = np.ascontiguousarray(value)
            head = f"{array.dtype} {np.shape(value)}"
            return [head.encode(), hashlib.sha256(array).digest()]
        if isinstance(value, torch.nn.Module):
            return self.module(value, name)
        if isinstance(value, torch.Tensor):
            return [weights_of({"": value}).encode()]
        if isinstance(value, hub.Backbone):
            rest = {
                field: part
                for field, part in vars(value).items()
                if field not in ("model", "tokenizer", "place", "device")
            }
            return [self.token(rest, name), module_hash(value.model).encode()]
        if isinstance(value, data.Task):
            rest = {f: part for f, part in vars(value).items() if f != "place"}
            return [b"task", self.token(rest, name)]
        if isinstance(value, (list, tuple, dict, set, frozenset)):
            return self.container(value, name)
        if isinstance(value, Path):
            inside = value.is_relative_to(hub.ASSETS)
            path = value.relative_to(hub.ASSETS) if inside else value
            return [b"path", path.as_posix().encode()]
        if hasattr(value, "get_vocab"):  # a tokenizer
            words = sorted(value.get_vocab().items())
            special = getattr(value, "all_special_tokens", [])
            return [kind.__name__.encode(), marshal.dumps([words, special], 2)]
        if isinstance(value, re.Pattern):
            return [value.pattern.encode(), str(value.flags).encode()]
        if isinstance(value, NAMED):
            return [kind.__name__.encode(), repr(value).encode()]
        if isinstance(value, enum.Enum) and not is_own(kind):
            return [str(value).encode()]
        if is_own(kind):
            return [self.token(kind, name), self.token(state(value), name)]
        if isinstance(value, CALLABLES):
            return [label(value).encode()]
        raise ValueError(
            f"`{self.run}` reads `{name}`, and what is in a {kind.__module__}."
            f"{kind.__qualname__} cannot be told: make it inside the function, or give "
            "what it is made from as an argument."
        )

    def container(self, value, name: str) -> list[bytes]:
        """The tokens of a list, tuple, dict or set, and of their subclasses."""
        kind = next(
            k for k in (list, tuple, dict, set, frozenset) if isinstance(value, k)
        )
        items = value.items() if kind is dict else value
        tokens = [
            self.token(part, name)
            for item in items
            for part in (item if kind is dict else (item,))
        ]
        if kind in (set, frozenset):
            tokens.sort()
        named = type(value) is not kind and is_own(type(value))
        return [
            kind.__name__.encode(),
            *([self.token(type(value), name)] if named else []),
            *tokens,
        ]

    def module(self, value: torch.nn.Module, name: str) -> list[bytes]:
        """The tokens of a torch module: its class, its weights, and of a class of the
        course all else that it and the modules in it hold."""
        tokens = [self.token(type(value), name), module_hash(value).encode()]
        for path, part in value.named_modules():
            if is_own(type(part)):
                tokens += [path.encode(), self.token(type(part), name)]
                tokens.append(self.token(state(part), f"{name}.{path}".strip(".")))
        return tokens

    def klass(self, kind: type) -> None:
        """Walks through the methods, attributes and bases of a class of the course."""
        if id(kind) in self.seen or not is_own(kind):
            return
        self.seen[id(kind)] = kind
        name = label(kind)
        bases = [self.token(base, name) for base in (*kind.__bases__, type(kind))]
        fields = [f"{name} " for name in getattr(kind, "__dataclass_fields__", ())]
        self.put(f"class {name}", b" ".join(bases) + "".join(fields).encode())
        for attribute, value in vars(kind).items():
            if isinstance(value, (staticmethod, classmethod)):
                value = value.__func__
            if attribute == "__dataclass_fields__":
                for field in value.values():
                    if field.default_factory is not dataclasses.MISSING:
                        self.value(field.default_factory, f"{name}.{field.name}")
            elif isinstance(value, property):
                for part in (value.fget, value.fset, value.fdel):
                    if part is not None:
                        self.function(part)
            elif isinstance(value, functools.cached_property):
                self.function(value.func)
            elif isinstance(value, types.FunctionType):
                self.function(value)
            elif not is_made(attribute, value):
                self.value(value, f"{name}.{attribute}")

    def function(self, function: types.FunctionType) -> None:
        """Keeps the source of a function of the course, and walks to what it reads."""
        if id(function) in self.seen:
            return
        self.seen[id(function)] = function
        special = function.__name__.startswith("__")
        if special and function.__code__.co_filename == "<string>":
            return  # what a dataclass writes follows its fields
        wrapped = getattr(function, "__wrapped__", None)
        if isinstance(wrapped, types.FunctionType):
            self.function(wrapped)
        if not is_own(function):
            return
        name, read = label(function), source(function)
        tokens = [read.digest]
        for parameter, default in defaults(function):
            self.value(default, f"{name}({parameter}=)")
        module = sys.modules.get(function.__globals__["__name__"])
        prefix = label(module) + "." if label(module) != "__main__" else ""
        for chain in read.chains:
            found, path, value = look_up(function, chain, read.imports)
            if not found:
                tokens.append(f"{chain} is not there".encode())
            elif is_code(value):
                tokens.append(path.encode() + self.token(value, path))
            else:
                cell = path.partition(".")[0] in function.__code__.co_freevars
                where = f"{name}.{path}" if cell else prefix + path
                self.value(value, where)
        self.put(f"def {name}", b" ".join(tokens))


SCALARS = {str, int, float, bool, type(None), bytes, complex}
NAMED = (torch.dtype, torch.device, np.dtype, range, slice, types.UnionType)
NAMED += (types.GenericAlias, type(re.I), type(...), type(NotImplemented))
CALLABLES = (types.BuiltinFunctionType, types.MethodDescriptorType, np.ufunc)
CALLABLES += (types.WrapperDescriptorType, types.MethodWrapperType)
MADE = (types.MemberDescriptorType, types.GetSetDescriptorType)
MADE += (type(vars(namedtuple("One", "field"))["field"]),)


def short(token: bytes | str) -> str:
    """The first ten hexadecimal digits of a hash."""
    token = token.encode() if isinstance(token, str) else token
    return hashlib.sha256(token).hexdigest()[:10]


def is_plain(value) -> bool:
    """Whether a value is a number, a text, or at most two floors of lists, tuples and
    dicts of them, such as the rows of a task."""
    kind = type(value)
    if kind in SCALARS:
        return True
    if kind not in (list, tuple, dict) or (
        kind is dict and not SCALARS.issuperset(map(type, value))
    ):
        return False
    items = value.values() if kind is dict else value
    inner = set(map(type, items)) - SCALARS
    if not inner:
        return True
    if not inner <= {list, tuple, dict}:
        return False
    below: set[type] = set()
    for item in items:
        if type(item) is dict:
            below.update(map(type, item))
            below.update(map(type, item.values()))
        elif type(item) not in SCALARS:
            below.update(map(type, item))
    return below <= SCALARS


def is_rows(value) -> bool:
    """Whether a value is the rows of a task, or several of them."""
    if isinstance(value, dict) and value:
        return all(isinstance(v, data.Task) or is_rows(v) for v in value.values())
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def is_code(value) -> bool:
    """Whether what is read is a function, a class or a module, which is named."""
    kinds = (type, types.ModuleType, types.FunctionType, functools._lru_cache_wrapper)
    return isinstance(value, (*kinds, *CALLABLES))


def module_name(value) -> str:
    """The module in which a function or class was written."""
    if isinstance(value, types.FunctionType):
        return value.__globals__.get("__name__", "")
    return getattr(value, "__module__", None) or ""


def is_own(value) -> bool:
    """Whether a function or class is the chapter's or the course's, above its floor."""
    package, _, module = module_name(value).partition(".")
    if package == "__main__":
        return True
    if package != PACKAGE or module in FLOOR:
        return False
    return module != "data" or getattr(value, "__name__", "") not in READERS


def is_made(attribute: str, value) -> bool:
    """Whether Python made an attribute of a class, and not who wrote the class."""
    if attribute.startswith("__") or isinstance(value, MADE):
        return True
    return attribute.startswith("_") and not is_plain(value)


def label(value) -> str:
    """The name of a function, class or module as the sentences say it: that of a
    chapter alone, that of the course with its module."""
    if isinstance(value, types.ModuleType):
        return value.__name__.removeprefix(PACKAGE + ".")
    if isinstance(value, functools.partial):
        return label(value.func)
    module = module_name(inspect.unwrap(value) if callable(value) else value)
    name = getattr(value, "__qualname__", None) or type(value).__qualname__
    module = module.removeprefix(PACKAGE + ".")
    return name if module in ("__main__", "builtins", "") else f"{module}.{name}"


def state(value) -> dict:
    """The attributes of an object of the course; without those of torch's own, and
    those that are worked out when they are asked for."""
    kind, found = type(value), dict(getattr(value, "__dict__", {}))
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, slot) and not slot.startswith("__"):
                found[slot] = getattr(value, slot)
    kept = {}
    for attribute, part in found.items():
        made = isinstance(getattr(kind, attribute, None), functools.cached_property)
        of_torch = isinstance(value, torch.nn.Module) and (
            attribute in TORCH or isinstance(part, (torch.nn.Module, torch.Tensor))
        )
        if not made and not of_torch:
            kept[attribute] = part
    return kept


TORCH = frozenset(vars(torch.nn.Module()))


def defaults(function: types.FunctionType) -> list[tuple[str, object]]:
    """The parameters of a function that have a default, with its value."""
    code, values = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount][code.co_argcount - len(values) :]
    return [*zip(names, values), *(function.__kwdefaults__ or {}).items()]


def look_up(function, chain: str, imports: dict) -> tuple[bool, str, object]:
    """What `a.b.c` is in a function: whether it is there, the part of the chain that
    was followed (through modules only), and the value."""
    first, *rest = chain.split(".")
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or ()))
    try:
        if first in imports:
            value = imported(function, *imports[first])
        elif first in cells:
            value = cells[first].cell_contents
        elif first in function.__globals__:
            value = function.__globals__[first]
        else:
            return hasattr(builtins, first), first, getattr(builtins, first, None)
    except (ValueError, ImportError, AttributeError):  # an empty cell; no such module
        return False, chain, None
    path = first
    for name in rest:
        ours = isinstance(value, types.ModuleType) and (
            value.__name__.partition(".")[0] == PACKAGE
        )
        if not ours:
            break
        if not hasattr(value, name):
            return False, chain, None
        value, path = getattr(value, name), f"{path}.{name}"
    return True, path, value


def imported(function, module: str, name: str | None):
    """What an import inside a function gives it."""
    found = importlib.import_module(
        module, function.__globals__.get("__package__") or None
    )
    if name is None:
        return found
    if not hasattr(found, name):
        return importlib.import_module(f"{found.__name__}.{name}")
    return getattr(found, name)


class Source:
    """What the source of one function says: a hash of its meaning, and the names that
    it reads from outside."""

    def __init__(self, function: types.FunctionType):
        name = label(function)
        try:
            text = inspect.getsource(function)
            lines = f"if 1:\n{text}" if text[:1].isspace() else text
            tree = ast.parse(lines)
        except (OSError, TypeError, SyntaxError):
            tree = None
        node = tree and (tree.body[0].body[0] if text[:1].isspace() else tree.body[0])
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            raise ValueError(
                f"The source of `{name}` cannot be read: write it with `def`, in a "
                "cell or a file."
            )
        refuse_edited(function)
        node = ast.fix_missing_locations(Meaning().visit(node))
        self.digest = hashlib.sha256(repr(shape(node)).encode()).digest()
        self.imports = dict(local_imports(node))
        node.decorator_list = []
        compiled = compile(ast.Module([node], []), "<source>", "exec")
        free = {n for c in compiled.co_consts if is_block(c) for n in free_names(c)}
        self.chains = sorted(chains_in(node, free | set(self.imports)))


class Meaning(ast.NodeTransformer):
    """Takes out of a function what does not decide what it gives: docstrings and other
    bare texts, annotations, errors it raises and the words of an `assert`."""

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Constant):
            return ast.Pass()
        return self.generic_visit(node)

    def visit_Raise(self, node):
        return ast.Pass()

    def visit_Assert(self, node):
        node.msg = None
        return self.generic_visit(node)

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_FunctionDef(self, node):
        node.returns = None
        return self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_AnnAssign(self, node):
        if node.value is None:
            return ast.Pass()
        return self.generic_visit(ast.Assign([node.target], node.value))


def shape(node):
    """A syntax tree as nested lists that are the same on every version of Python."""
    if isinstance(node, list):
        return [shape(n) for n in node if not isinstance(n, ast.Pass)]
    if not isinstance(node, ast.AST):
        return repr(node)
    return [type(node).__name__] + [
        (field, shape(value))
        for field, value in ast.iter_fields(node)
        if value is not None
        and value != []
        and field not in ("ctx", "kind", "type_comment", "type_params")
    ]


def is_block(constant) -> bool:
    return isinstance(constant, types.CodeType)


def free_names(code: types.CodeType) -> set[str]:
    """The names that compiled code reads from outside itself."""
    reads = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
    names = {i.argval for i in dis.get_instructions(code) if i.opname in reads}
    for constant in filter(is_block, code.co_consts):
        names |= free_names(constant)
    return names


def chains_in(node, names: set[str]) -> set[str]:
    """`a` and `a.b.c` in a syntax tree, for each `a` of the names."""
    found = set()

    def visit(part, tail: str) -> None:
        if isinstance(part, ast.Attribute):
            visit(part.value, f".{part.attr}{tail}")
            return
        if isinstance(part, ast.Name) and part.id in names:
            found.add(part.id + tail)
        for child in ast.iter_child_nodes(part):
            visit(child, "")

    visit(node, "")
    return found


def local_imports(node):
    """What a function imports itself of the course: name -> module, name in it."""
    for part in ast.walk(node):
        if isinstance(part, ast.ImportFrom):
            module = "." * part.level + (part.module or "")
            for alias in part.names:
                if part.level or module.partition(".")[0] == PACKAGE:
                    yield alias.asname or alias.name, (module, alias.name)
        elif isinstance(part, ast.Import):
            for alias in part.names:
                if alias.name.partition(".")[0] == PACKAGE:
                    whole = alias.name if alias.asname else PACKAGE
                    yield alias.asname or PACKAGE, (whole, None)


_sources: dict[types.CodeType, Source] = {}
_codes: dict[str, set[types.CodeType]] = {}


def source(function: types.FunctionType) -> Source:
    """The source of a function, read once."""
    code = function.__code__
    if code not in _sources:
        _sources[code] = Source(function)
    return _sources[code]


def refuse_edited(function: types.FunctionType) -> None:
    """Refuses a function whose file was edited after it was loaded: its source would
    say another thing than what runs."""
    file = function.__code__.co_filename
    if not file.endswith(".py") or function.__globals__.get("__file__") != file:
        return  # a cell of a notebook
    if file not in _codes:
        text = "".join(linecache.getlines(file))
        blocks, found = [compile(text, file, "exec", dont_inherit=True)], set()
        while blocks:
            found.add(blocks[-1])
            blocks += filter(is_block, blocks.pop().co_consts)
        _codes[file] = found
    if function.__code__ not in _codes[file]:
        raise ValueError(
            f"{Path(file).name} was edited after `{label(function)}` was loaded from "
            "it: restart the kernel."
        )


# ---- hashes of what is large


_modules: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def weights_of(tensors: dict[str, torch.Tensor]) -> str:
    """A hash over the names, kinds, shapes and bytes of tensors."""
    digest = hashlib.sha256()
    for key, value in sorted(tensors.items()):
        value = value.detach().cpu().contiguous()
        digest.update(f"{key} {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def module_hash(module: torch.nn.Module) -> str:
    """A hash of all weights; worked out anew only where one of them was changed."""
    tensors = module.state_dict(keep_vars=True)
    stamp = []
    for key, value in tensors.items():
        value = value.detach()
        # `value.data` can be written without a new version: a few numbers tell
        some = value.flatten()[:: max(1, value.numel() // 64)].cpu().numpy().tobytes()
        counted = None if value.is_inference() else value._version
        stamp.append((key, value.data_ptr(), value.shape, counted, some))
    kept = _modules.get(module)
    if kept is None or kept[0] != stamp:
        kept = _modules[module] = (stamp, weights_of(tensors))
    return kept[1]
