import io

import numpy as np
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipelines.synthesis.sphere import encode_sphere

SAMPLES = hnp.arrays(np.int16, st.integers(1, 300), elements=st.integers(-32768, 32767))


@settings(max_examples=30, deadline=None)
@given(SAMPLES, st.sampled_from([8000, 16000]))
def test_libsndfile_reads_back_every_bit(samples, rate):
    read, read_rate = soundfile.read(io.BytesIO(encode_sphere(samples, rate, "kwo0_sa1")), dtype="int16")
    assert read_rate == rate
    np.testing.assert_array_equal(read, samples)


def test_the_bytes_are_laid_out_as_in_timit():
    content = encode_sphere(np.array([3338, -7, 13], dtype=np.int16), 16000, "kwo0_sx102")
    assert content[:16] == b"NIST_1A\n   1024\n"
    assert len(content) == 1024 + 6
    header, _, padding = content[:1024].partition(b"end_head")
    assert header.decode().splitlines()[2:] == [
        "database_id -s19 vrnn-bench built-in",
        "database_version -s3 1.0",
        "utterance_id -s10 kwo0_sx102",
        "channel_count -i 1",
        "sample_count -i 3",
        "sample_rate -i 16000",
        "sample_min -i -7",
        "sample_max -i 3338",
        "sample_n_bytes -i 2",
        "sample_byte_format -s2 01",
        "sample_sig_bits -i 16",
    ]
    assert padding.rstrip(b" ") == b"\n" * 5
    assert content[1024:] == b"\x0a\x0d\xf9\xff\x0d\x00"
