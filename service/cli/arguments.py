"""The arguments of each command."""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import __version__
from ..bulk.outputs.row_format import FORMATS
from ..config.cli_flags import CLIENT_KEY, add_settings
from ..loadgen.options import add_options as add_bench_options
from ..loadgen.options import positive_int

# Settings that apply where models are loaded but no port is opened.
_MODEL_SETTINGS = (
    "models",
    "default_model",
    "provider",
    "threads",
    "max_pixels",
    "max_decode_bytes",
    "log_level",
    "log_format",
)
_HEALTH_SETTINGS = ("host", "port", "admin_port", "tls_cert", "tls_key")


def build_parser() -> argparse.ArgumentParser:
    """The parser of `convserve`; it stores the command's name as `command`."""
    parser = argparse.ArgumentParser("convserve", description="Serve ONNX image classifiers.")
    parser.add_argument("--version", action="version", version=f"convserve {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")

    def add_command(name: str, summary: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")

    add_settings(add_command("serve", "serve a model repository over HTTP and gRPC"))
    _add_classify(add_command("classify", "classify images, in this process or by a running server"))
    _add_explain(add_command("explain", "show which parts of an image led to its label"))
    _add_faithfulness(
        add_command("faithfulness", "measure the methods that explain a model, on images of its own kind")
    )
    bench = add_command("bench", "measure the latency and throughput of a server")
    add_bench_options(bench)
    add_settings(bench)
    add_settings(add_command("check", "load every model version and report the result"), _MODEL_SETTINGS)
    add_settings(add_command("health", "check whether the server on this machine is ready"), _HEALTH_SETTINGS)
    _add_key(add_command("key", "create an API key and its line for the list of keys"))
    return parser


def _add_classify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="Image file, folder (with all folders below it), pattern such as 'photos/**/*.jpg', or - for a "
        "list of paths on standard input, one a line.",
    )
    parser.add_argument(
        "-0", "--null", action="store_true", help="NUL characters separate the paths on standard input."
    )
    model = parser.add_argument_group("Model")
    model.add_argument(
        "--url",
        help="Send the images to the server at this URL instead of loading the model. "
        f"{CLIENT_KEY} contains the API key, if the server needs one.",
    )
    _add_model(model)
    model.add_argument(
        "--workers",
        type=positive_int,
        metavar="N",
        help="Processes that classify; each loads the model. (default: one for each core, or one for few "
        "images)",
    )
    output = parser.add_argument_group("Output")
    output.add_argument(
        "--top-k",
        type=positive_int,
        default=1,
        metavar="K",
        help="Classes of each image, best first. (default: %(default)s)",
    )
    output.add_argument(
        "--format",
        choices=FORMATS,
        help="Format of the output: lines of text, JSON Lines, CSV or Parquet; parquet needs the extra "
        "convserve[parquet]. (default: that of the suffix of FILE, or text)",
    )
    output.add_argument(
        "--json", action="store_const", const="json", dest="format", help="The same as --format json."
    )
    output.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="File to write in place of standard output. It appears when it is complete; until then its rows "
        "are in FILE.part.",
    )
    output.add_argument(
        "--resume",
        action="store_true",
        help="Keep the rows that FILE.part or FILE has, and classify only the other images.",
    )
    add_settings(parser, _MODEL_SETTINGS)


def _add_explain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", type=Path, metavar="IMAGE", help="Image file.")
    model = parser.add_argument_group("Model")
    model.add_argument(
        "--url",
        help="Send the image to the server at this URL instead of loading the models. "
        f"{CLIENT_KEY} contains the API key, if the server needs one.",
    )
    _add_model(model)
    method = parser.add_argument_group("Method")
    method.add_argument("--method", help="How to explain. (default: the best for the network)")
    method.add_argument("--layer", help="Layer of the map. (default: the best for the method)")
    method.add_argument("--label", help="Label to explain. (default: the predicted one)")
    method.add_argument("--versus", metavar="LABEL", help="Explain why the label and not this one.")
    output = parser.add_argument_group("Output")
    output.add_argument("-o", "--output", type=Path, metavar="FILE", help="Write the map as PNG.")
    output.add_argument("--curves", action="store_true", help="Measure deletion and insertion, for --json.")
    output.add_argument(
        "--flip", action="store_true", help="Find the smallest erasure that changes the label, for --json."
    )
    output.add_argument("--json", action="store_true", help="Print the response as one line of JSON.")
    add_settings(parser, (*_MODEL_SETTINGS, "explain_bytes"))


def _add_faithfulness(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", type=Path, metavar="DIR", help="Folder of images; labels are not needed.")
    _add_model(parser.add_argument_group("Model"))
    parser.add_argument_group("Output").add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        required=True,
        help="Write the figures as JSON, for convserve-export inspect --figures.",
    )
    add_settings(parser, (*_MODEL_SETTINGS, "explain_bytes"))


def _add_model(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--model", metavar="NAME", help="Name of the model. (default: the default model)")
    group.add_argument(
        "--model-version",
        metavar="VERSION",
        help="Version of the model; needs --model. (default: the highest)",
    )


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="Name of the client, for logs and rate limits.")
    parser.add_argument(
        "--scopes",
        default="infer",
        metavar="SCOPE[,SCOPE]",
        help="Comma-separated list of infer, admin and metrics. (default: %(default)s)",
    )
