"""A clip played n times over, remuxed packet by packet: the same pictures, any length, little memory."""

from __future__ import annotations

from pathlib import Path


def looped(source: Path, target: Path, times: int) -> int:
    """Write ``source``'s video ``times`` times into ``target``; returns the number of frames."""
    import av

    frames = 0
    with av.open(str(target), "w") as out, av.open(str(source)) as first:
        stream = first.streams.video[0]
        made = out.add_stream_from_template(stream)
        begin, end = _span(source)
        for turn in range(times):
            with av.open(str(source)) as again:
                for packet in again.demux(again.streams.video[0]):
                    if packet.pts is None or packet.dts is None:
                        continue
                    shift = turn * (end - begin) - begin
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = made
                    out.mux(packet)
                    frames += 1
    return frames


def _span(source: Path) -> tuple[int, int]:
    """First decoding stamp, and the one that would follow the last, in the stream's time base."""
    import av

    with av.open(str(source)) as container:
        packets = [
            (packet.dts, packet.duration or 0)
            for packet in container.demux(container.streams.video[0])
            if packet.dts is not None
        ]
    begin = min(stamp for stamp, _ in packets)
    # Some files give a duration of 0: then the mean step stands in.
    last, duration = max(packets)
    step = (last - begin) // max(len(packets) - 1, 1)
    return begin, last + max(duration, step, 1)
