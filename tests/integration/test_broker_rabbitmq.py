"""The broker on RabbitMQ keeps the contract."""

from collections.abc import Callable

import pytest

from scanplane.broker.factory import open_broker
from scanplane.broker.interface import Broker
from support.broker_contract import BrokerContract

pytestmark = pytest.mark.server


class TestRabbitBroker(BrokerContract):
    @pytest.fixture
    def brokers(self, rabbitmq_url: str, namespace: str) -> Callable[[], Broker]:
        return lambda: open_broker(rabbitmq_url, namespace)
