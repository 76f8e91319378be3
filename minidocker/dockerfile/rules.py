"""The rules of `build --check`: what may be written, but probably should not be.

Names, descriptions and addresses are BuildKit's: people switch rules off by their name and look them up by their address. A
file switches rules off with `# check=skip=NAME,NAME` at its top or, for one instruction, right above it; `error=true` turns what
is found into an error, `experimental=NAME` asks for rules that are off. Pure. Chapter 9.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from minidocker.dockerfile.text import Span
from minidocker.dockerfile.mistake import DockerfileError

__all__ = ["NO_OPTIONS", "CheckOptions", "Finding", "Rule", "parse_check_options"]


class Rule(Enum):
    """A rule; the value is what it is about, in one sentence."""

    STAGE_NAME_CASING = "Stage names should be lowercase"
    FROM_AS_CASING = "The 'as' keyword should match the case of the 'from' keyword"
    NO_EMPTY_CONTINUATION = "Empty continuation lines will become errors in a future release"
    CONSISTENT_INSTRUCTION_CASING = "All commands within the Dockerfile should use the same casing (either upper or lower)"
    DUPLICATE_STAGE_NAME = "Stage names should be unique"
    RESERVED_STAGE_NAME = "Reserved words should not be used as stage names"
    JSON_ARGS_RECOMMENDED = "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals"
    MAINTAINER_DEPRECATED = "The MAINTAINER instruction is deprecated, use a label instead to define an image author"
    UNDEFINED_ARG_IN_FROM = "FROM command must use declared ARGs"
    WORKDIR_RELATIVE_PATH = (
        "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes"
    )
    UNDEFINED_VAR = "Variables should be defined before their use"
    MULTIPLE_INSTRUCTIONS_DISALLOWED = "Multiple instructions of the same type should not be used in the same stage"
    LEGACY_KEY_VALUE_FORMAT = "Legacy key/value format with whitespace separator should not be used"
    INVALID_BASE_IMAGE_PLATFORM = "Base image platform does not match expected target platform"
    REDUNDANT_TARGET_PLATFORM = "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior"
    SECRETS_USED_IN_ARG_OR_ENV = "Sensitive data should not be used in the ARG or ENV commands"
    INVALID_DEFAULT_ARG_IN_FROM = "Default value for global ARG results in an empty or invalid base image name"
    FROM_PLATFORM_FLAG_CONST_DISALLOWED = "FROM --platform flag should not use a constant value"
    COPY_IGNORED_FILE = "Attempting to Copy file that is excluded by .dockerignore"
    INVALID_DEFINITION_DESCRIPTION = "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`"
    EXPOSE_PROTO_CASING = "Protocol in EXPOSE instruction should be lowercase"
    EXPOSE_INVALID_FORMAT = "IP address and host-port mapping should not be used in EXPOSE instruction"

    @property
    def title(self) -> str:
        """The name as people write it: `JSONArgsRecommended`."""
        return "".join(word if word == "JSON" else word.capitalize() for word in self.name.split("_"))

    @property
    def url(self) -> str:
        """Where Docker explains it; one rule has no page."""
        if self is Rule.INVALID_BASE_IMAGE_PLATFORM:
            return ""
        return f"https://docs.docker.com/go/dockerfile/rule/{self.name.lower().replace('_', '-')}/"

    @property
    def is_experimental(self) -> bool:
        """Whether it is off until a file asks for it."""
        return self is Rule.INVALID_DEFINITION_DESCRIPTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A place where a rule is broken."""

    rule: Rule
    detail: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """What a `check` directive says; names that nobody knows are kept, and do nothing."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    is_error: bool = False

    def allows(self, rule: Rule) -> bool:
        """Whether *rule* is looked at."""
        if rule.is_experimental:
            return not self.experimental.isdisjoint({rule.title, "all"})
        return self.skip.isdisjoint({rule.title, "all"})

    def merge(self, comments: Iterable[str]) -> CheckOptions:
        """Return the options for an instruction with *comments* above it; a comment that is no valid `check` changes nothing."""
        for comment in comments:
            match = _CHECK.fullmatch(comment)
            if match:
                try:
                    more = parse_check_options(match[1])
                except DockerfileError:
                    return self
                return CheckOptions(skip=self.skip | more.skip, experimental=self.experimental | more.experimental, is_error=self.is_error)
        return self


_CHECK: Final = re.compile(r"check\s*=\s*(\S+)(?:\s.*)?", re.IGNORECASE | re.ASCII)
NO_OPTIONS: Final = CheckOptions()


def parse_check_options(text: str) -> CheckOptions:
    """Return what `skip=A,B;error=true;experimental=all` asks for.

    Raises:
        DockerfileError: an unknown option, or one without a value.
    """
    found: dict[str, str] = {}
    for part in text.split(";", 2) if text else ():
        name, equals, value = part.partition("=")
        if not equals or name.strip() not in ("skip", "experimental", "error"):
            problem = f'invalid check option "{name.strip() if equals else part}"'
            raise DockerfileError(problem, hint="known are skip, experimental and error", culprit=part)
        found[name.strip()] = value.strip()
    is_error = found.get("error", "false")
    if is_error.lower() not in ("true", "false", "t", "f", "1", "0"):
        raise DockerfileError(f'failed to parse check option "error={is_error}"', hint="write error=true or error=false", culprit=is_error)
    names = {key: frozenset(name.strip() for name in found[key].split(",")) for key in ("skip", "experimental") if key in found}
    return CheckOptions(**names, is_error=is_error.lower() in ("true", "t", "1"))
