"""`python several_devices.py N [[VERB, ARGUMENT, …], …]`: the command, with the CPU divided into N devices of TensorFlow's."""

import json
import os
import sys

from support import ROOT


def main(devices: int, commands: list[list[str]]) -> int:
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    sys.path.insert(0, str(ROOT))
    from halfbert.cli import command

    return max(command.main(words) for words in commands)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), json.loads(sys.argv[2])))
