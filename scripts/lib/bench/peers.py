# SPDX-License-Identifier: Apache-2.0
"""Programs that only download: the limit of what a link gives."""

import os

import machine


def curl(bench, link, url: str, timeout: float = 600) -> float:
    """Seconds that curl takes to have it on the disk."""
    target = os.path.join(bench.work, "curl.out")
    try:
        return machine.timed([*link.client, "curl", "-sSfL", "-o", target, url], timeout)
    finally:
        remove(target)


def curl_and_hash(bench, link, url: str, timeout: float = 600) -> float:
    """The same with its SHA-256 known at the end, as it is to hubvfs: tee and openssl beside curl."""
    target = os.path.join(bench.work, "hashed.out")
    pipe = 'set -o pipefail; curl -sSfL "$1" | tee "$2" | openssl dgst -sha256'
    try:
        return machine.timed([*link.client, "bash", "-c", pipe, "bash", url, target], timeout)
    finally:
        remove(target)


def aria2(bench, link, url: str, timeout: float = 600) -> float:
    """The same of aria2c with 16 connections."""
    try:
        return machine.timed(
            [
                *link.client,
                "aria2c",
                "-q",
                "-x16",
                "-s16",
                "-k1M",
                "--file-allocation=none",
                "--no-conf",
                "--allow-overwrite=true",
                "--auto-file-renaming=false",
                "-d",
                bench.work,
                "-o",
                "aria2.out",
                url,
            ],
            timeout,
        )
    finally:
        remove(os.path.join(bench.work, "aria2.out"), os.path.join(bench.work, "aria2.out.aria2"))


def remove(*paths: str) -> None:
    for path in paths:
        if os.path.exists(path):
            os.unlink(path)


def first_byte(link, url: str, before: str = "") -> float:
    """Seconds until curl has a first byte of `url`, 4 KiB being asked for; with its connections open
    when it had those of `before` first."""
    words = [
        *link.client,
        "curl",
        "-sSfL",
        "-o",
        "/dev/null",
        "-r",
        "0-4095",
        "-w",
        "%{time_starttransfer} ",
    ]
    if before:
        words += [
            before,
            "--next",
            "-sSfL",
            "-o",
            "/dev/null",
            "-r",
            "0-4095",
            "-w",
            "%{time_starttransfer} ",
        ]
    return float(machine.run([*words, url]).split()[-1])
